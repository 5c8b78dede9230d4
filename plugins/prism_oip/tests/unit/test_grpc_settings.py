"""Where gRPC listens, by its settings and by what the public listener does."""

import pytest

from prism_core.converters import structure_extension_config
from prism_core.errors import ConfigError
from prism_core.plugin import Surroundings
from prism_oip.rpc import config
from prism_oip.rpc.binding import bind, ports
from prism_oip.rpc.config import GrpcConfig, available, wanted
from prism_oip.rpc.peers import address_of

USUAL, FREE = Surroundings("0.0.0.0", 8000), Surroundings("127.0.0.1", 41234, any_port=True)


def config_of(data):
    return structure_extension_config(GrpcConfig, data, "grpc")


@pytest.mark.parametrize(
    ("port", "around", "tried"),
    [
        ("auto", USUAL, (8081, 0)),
        ("auto", FREE, (0,)),
        (0, USUAL, (0,)),
        (9000, USUAL, (9000,)),
        (9000, FREE, (9000,)),
    ],
)
def test_the_ports_to_try(port, around, tried):
    assert ports(config_of({"port": port}), around) == tried


@pytest.mark.parametrize("port", [-1, 65536, "8081", True, None, 1.5])
def test_what_is_no_port_is_told(port):
    with pytest.raises(ConfigError, match=r"plugins\.grpc.*port is a number from 0 to 65535, auto or off"):
        config_of({"port": port})


@pytest.mark.parametrize(("written", "meant"), [("off", "off"), (False, "off"), ("auto", "auto")])
def test_a_bare_off_of_yaml_is_off(written, meant):
    assert config_of({"port": written}).port == meant


@pytest.mark.parametrize(("port", "asked"), [("auto", False), ("off", False), (0, True), (8081, True)])
def test_only_a_port_that_is_named_must_be_had(port, asked):
    assert wanted(config_of({"port": port})) is asked


def test_the_extra_is_here():
    assert available() == ""


@pytest.mark.parametrize("missing", ["no_such_grpc", "no_such.module"])
def test_without_the_extra_it_is_told_how_to_get_it(monkeypatch, missing):
    monkeypatch.setattr(config, "MODULES", (missing,))

    assert (
        available()
        == f"The package of {missing.partition('.')[0]} is not installed: pip install 'prism-oip[grpc]'."
    )


class TakenPort:
    """A server that gets none of some ports."""

    def __init__(self, *taken):
        self.taken = taken
        self.asked = []

    def add_insecure_port(self, address):
        self.asked.append(address)
        port = int(address.rpartition(":")[2])
        if port in self.taken:
            raise RuntimeError("Failed to bind")
        return port or 50_001


def test_where_the_usual_port_is_taken_a_free_one_is_used():
    server = TakenPort(8081)

    assert bind(server, GrpcConfig(), USUAL, None) == "grpc://0.0.0.0:50001"
    assert server.asked == ["0.0.0.0:8081", "0.0.0.0:0"]


def test_a_port_that_is_named_and_taken_is_an_error_with_a_next_step():
    with pytest.raises(ConfigError, match="port 9000") as raised:
        bind(TakenPort(9000), GrpcConfig(9000), USUAL, None)

    assert "--grpc-port 0" in raised.value.hint


def test_an_address_of_ipv6_has_brackets():
    server = TakenPort()

    assert bind(server, GrpcConfig(0, host="::1"), USUAL, None) == "grpc://[::1]:50001"
    assert server.asked == ["[::1]:0"]


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:127.0.0.1:4711", "127.0.0.1"),
        ("ipv6:%5B::1%5D:4711", "::1"),
        ("ipv6:[2001:db8::7]:4711", "2001:db8::7"),
        ("ipv6:%5B::ffff:192.0.2.7%5D:4711", "192.0.2.7"),
        ("unix:/run/there", ""),
        ("ipv4:nowhere", ""),
        ("", ""),
    ],
)
def test_peers_are_told_as_other_listeners_tell_them(peer, address):
    assert address_of(peer) == address
