"""What the flags of ``prism serve`` make of the settings."""

import attrs
import pytest

from prism_core.cli.commands import serve
from prism_core.errors import ConfigError
from prism_core.settings import Settings


@pytest.mark.parametrize(
    ("flags", "path"),
    [
        ([], ""),
        (["--access-log"], "access.log"),
        (["--access-log", "/var/log/prism.log"], "/var/log/prism.log"),
        (["--access-log", "--json"], "access.log"),
    ],
)
def test_the_access_log(prism, monkeypatch, flags, path):
    served = []
    monkeypatch.setattr(serve, "run", lambda settings, *_: served.append(settings))
    result = prism("serve", *flags)

    assert result.exit_code == 0, result.output
    assert [settings.access_log for settings in served] == [path]


def test_a_file_that_is_named_is_where_whoever_types_it(prism, monkeypatch, tmp_path):
    served = []
    monkeypatch.setattr(serve, "run", lambda settings, *_: served.append(settings))
    monkeypatch.chdir(tmp_path)
    prism("serve", "--access-log", "here.log")

    assert [settings.access_log for settings in served] == [str(tmp_path / "here.log")]


@pytest.mark.parametrize(
    ("flags", "plugins"),
    [
        ([], {}),
        (["--grpc-port", "0"], {"grpc": {"port": 0}}),
        (["--grpc-port", "9000"], {"grpc": {"port": 9000}}),
        (["--grpc-port", "auto"], {"grpc": {"port": "auto"}}),
        (["--grpc-port", "off"], {"grpc": {"port": "off"}}),
    ],
)
def test_the_port_of_grpc(prism, monkeypatch, flags, plugins):
    served = []
    monkeypatch.setattr(serve, "run", lambda settings, *_: served.append(settings))
    result = prism("serve", *flags)

    assert result.exit_code == 0, result.output
    assert [settings.plugins for settings in served] == [plugins]


@pytest.mark.parametrize("port", ["65536", "-1", "on"])
def test_what_is_no_port_of_grpc_is_refused(prism, port):
    assert prism("serve", "--grpc-port", port).exit_code == 2


@attrs.frozen
class Plugins:
    frontends: dict


def test_a_port_for_grpc_needs_a_plugin():
    settings = Settings(plugins={"grpc": {"port": 9000}})

    with pytest.raises(ConfigError, match="port 9000") as raised:
        serve.known_grpc(settings, Plugins({}))

    assert "pip install 'prism-oip[grpc]'" in raised.value.hint
    assert serve.known_grpc(settings, Plugins({"grpc": object()})) is settings


def test_no_grpc_needs_no_plugin():
    settings = Settings(plugins={"grpc": {"port": "off"}, "lan": {}})

    assert serve.known_grpc(settings, Plugins({})).plugins == {"lan": {}}
