"""The server itself: that it is there, where it is, and what it does with what it does not know."""

import socket

import grpc
import pytest

from prism_core.testing.server import ServerProcess
from prism_oip.rpc import oip_pb2 as pb


def test_a_server_is_live(client):
    assert client.ServerLive(pb.ServerLiveRequest(), timeout=10).live


def test_where_it_is_stands_in_its_file_and_with_its_owner(server):
    assert server.facts["grpc"].startswith("grpc://127.0.0.1:")
    assert server.facts["grpc"] in server.run("doctor").stdout.replace("\n", "")


@pytest.mark.parametrize("path", ["/inference.GRPCInferenceService/Nothing", "/other.Service/ServerLive"])
def test_an_unknown_method_is_unimplemented(client, path):
    with pytest.raises(grpc.RpcError) as raised:
        client.channel.unary_unary(path)(b"", timeout=10)

    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_named_port_that_is_taken_ends_the_start(server, tmp_path):
    taken = server.facts["grpc"].rpartition(":")[2]
    another = ServerProcess(tmp_path / "data", "--grpc-port", taken)

    with pytest.raises(AssertionError, match="not become ready") as raised:
        another.start()

    assert another.stop() == 1
    assert f"port {taken}: another program has it" in str(raised.value)
    assert "--grpc-port 0" in str(raised.value)


def test_without_grpc_nothing_listens(tmp_path):
    with ServerProcess(tmp_path / "data") as silent:
        assert "grpc" not in silent.facts


def test_stopping_leaves_the_port_and_says_nothing(tmp_path):
    with ServerProcess(tmp_path / "data", "--grpc-port", "0") as server:
        port = int(server.facts["grpc"].rpartition(":")[2])
    assert server.process.returncode == 0

    with socket.socket() as free:
        free.bind(("127.0.0.1", port))
    assert "Traceback" not in server.log.read_text()
    assert "E0000" not in server.log.read_text()
