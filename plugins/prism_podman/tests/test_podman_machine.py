"""What is missing here, told by files and the search path alone."""

import pytest

from prism_core.plugin import ConfigError
from prism_podman.config import PodmanConfig
from prism_podman.machine import missing_of_user
from prism_podman.service import check_scheme, configured, usual


@pytest.fixture
def sub_ids(tmp_path):
    """Two files that name the user `ann`, and 1234."""
    files = tmp_path / "subuid", tmp_path / "subgid"
    for file in files:
        file.write_text("# ranges\nann:200000:65536\n1234:300000:65536\n")
    return files


@pytest.fixture
def _uidmap(monkeypatch):
    monkeypatch.setattr("prism_podman.machine.program", lambda name: f"/usr/bin/{name}")


@pytest.mark.usefixtures("_uidmap")
@pytest.mark.parametrize(("user", "uid"), [("ann", 1000), ("", 1234), ("bob", 1234)])
def test_a_user_with_ranges_misses_nothing(sub_ids, user, uid):
    assert missing_of_user(user, uid, sub_ids) == ""


@pytest.mark.usefixtures("_uidmap")
def test_a_user_without_a_range_is_told_how_to_get_one(sub_ids):
    reason = missing_of_user("bob", 1000, sub_ids)

    assert "'bob'" in reason
    assert "usermod --add-subuids" in reason


@pytest.mark.usefixtures("_uidmap")
def test_both_files_are_needed(sub_ids):
    sub_ids[1].unlink()

    assert "subgid" in missing_of_user("ann", 1000, sub_ids)


def test_a_missing_program_is_named(sub_ids, monkeypatch):
    monkeypatch.setattr("prism_podman.machine.program", lambda name: "")

    assert "newuidmap" in missing_of_user("ann", 1000, sub_ids)


@pytest.mark.parametrize(
    ("setting", "environ", "url"),
    [
        ("", {}, ""),
        ("", {"CONTAINER_HOST": "tcp://127.0.0.1:8888"}, "tcp://127.0.0.1:8888"),
        ("/run/p.sock", {"CONTAINER_HOST": "tcp://127.0.0.1:8888"}, "unix:///run/p.sock"),
        ("unix:///run/p.sock", {}, "unix:///run/p.sock"),
    ],
)
def test_who_names_a_socket_decides(setting, environ, url):
    assert configured(PodmanConfig(socket=setting), environ) == url


@pytest.mark.parametrize("url", ["ssh://core@127.0.0.1:50000/run/podman.sock", "junk", "fd://3"])
def test_an_address_of_another_kind_is_refused(url):
    with pytest.raises(ConfigError, match="none of unix"):
        check_scheme(url)


@pytest.mark.parametrize("url", ["unix:///run/podman/podman.sock", "tcp://127.0.0.1:8080"])
def test_sockets_and_ports_are_taken(url):
    check_scheme(url)


def test_a_plain_user_is_never_led_to_roots_service():
    found = list(usual(1000, {"XDG_RUNTIME_DIR": "/tmp/x"}))

    assert found == ["unix:///tmp/x/podman/podman.sock", "unix:///run/user/1000/podman/podman.sock"]


def test_root_uses_roots_service():
    assert list(usual(0, {"XDG_RUNTIME_DIR": "/run/user/0"})) == ["unix:///run/podman/podman.sock"]
