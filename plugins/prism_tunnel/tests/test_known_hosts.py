"""Which keys are known: read as OpenSSH reads, written where only PRISM writes."""

import shutil
import subprocess

import asyncssh
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_tunnel.ssh.hosts import KnownHosts, shown
from prism_tunnel.ssh.places import parse_place, place_of

KEYS = [asyncssh.generate_private_key("ssh-ed25519") for _ in range(3)]
FIRST, SECOND, _ = [shown("models.example.org", 2222, key) for key in KEYS]


def known(tmp_path, text=""):
    path = tmp_path / "known_hosts"
    path.write_text(text)
    return KnownHosts.of(str(tmp_path / "data"), [str(path)])


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a.example", ("a.example", 22)),
        ("a.example:2222", ("a.example", 2222)),
        ("[a.example]:2222", ("a.example", 2222)),
        ("[::1]", ("::1", 22)),
        ("[::1]:2222", ("::1", 2222)),
        ("::1", ("::1", 22)),
    ],
)
def test_places(text, place):
    assert parse_place(text) == place


@pytest.mark.parametrize("text", ["", ":22", "a:b", "a:99999", "me@a.example", "[::1]:x"])
def test_what_is_no_place(text):
    with pytest.raises(ValueError, match="is no HOST"):
        parse_place(text)


@given(st.sampled_from(["a.example", "10.0.0.1", "fe80::1"]), st.integers(1, 65535))
def test_a_place_means_what_it_was_made_of(host, port):
    assert parse_place(place_of(host, port)) == (host, port)


def test_nothing_is_known_without_files(tmp_path):
    assert KnownHosts.of(str(tmp_path), ["/nowhere"]).fingerprints("models.example.org", 2222) == []


def test_a_stored_key_is_known_for_its_port_alone(tmp_path):
    hosts = known(tmp_path)
    hosts.remember(FIRST)

    assert hosts.fingerprints("models.example.org", 2222) == [FIRST.fingerprint]
    assert hosts.fingerprints("models.example.org", 22) == []
    assert hosts.fingerprints("other.example.org", 2222) == []


def test_a_newer_key_replaces_the_stored_one(tmp_path):
    hosts = known(tmp_path)
    other = shown("other.example.org", 22, KEYS[2])
    for key in (FIRST, other, SECOND):
        hosts.remember(key)

    assert hosts.fingerprints("models.example.org", 2222) == [SECOND.fingerprint]
    assert hosts.fingerprints("other.example.org", 22) == [other.fingerprint]
    assert hosts.own.stat().st_mode & 0o777 == 0o600


def test_a_file_of_openssh_is_not_written(tmp_path):
    hosts = known(tmp_path, SECOND.line)
    hosts.remember(FIRST)

    assert (tmp_path / "known_hosts").read_text() == SECOND.line
    assert set(hosts.fingerprints("models.example.org", 2222)) == {FIRST.fingerprint, SECOND.fingerprint}


def test_lines_that_are_not_understood_make_nothing_known_and_hide_nothing(tmp_path):
    hosts = known(tmp_path, f"nonsense\n|1|x|y ssh-ed25519 AAAA\nhost ssh-new AAAA\n\xff\n{FIRST.line}")

    assert hosts.fingerprints("models.example.org", 2222) == [FIRST.fingerprint]


@pytest.mark.system
@pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="apt-get install openssh-client")
def test_hashed_names_are_found(tmp_path):
    hosts = known(tmp_path, FIRST.line)
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(tmp_path / "known_hosts")], check=True)

    assert "models" not in (tmp_path / "known_hosts").read_text()
    assert hosts.fingerprints("models.example.org", 2222) == [FIRST.fingerprint]
