"""The server itself: that it is there, where it is, and what it does with what it does not know."""

import asyncio
import signal
import socket
import subprocess

import grpc
import pytest

from prism_core.testing.server import PRISM, ServerProcess
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


@pytest.mark.parametrize("said", [b"", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"])
async def test_a_connection_that_says_nothing_more_keeps_no_server_from_stopping(toy_host, speaking, said):
    """What has been asked is answered first."""
    asked, may_answer = asyncio.Event(), asyncio.Event()

    async def slow(message):
        asked.set()
        await may_answer.wait()
        return pb.ModelInferResponse(id=message.id)

    async with speaking(toy_host(slow)) as (face, client), asyncio.timeout(30):
        with socket.create_connection(("127.0.0.1", int(face.url.rpartition(":")[2]))) as silent:
            silent.sendall(said)
            call = asyncio.ensure_future(answer_to(client, pb.ModelInferRequest(model_name="toy", id="7")))
            await asked.wait()
            draining = asyncio.create_task(face.drain(1000.0))
            await asyncio.sleep(0)
            may_answer.set()
            assert (await call).id == "7"
            await draining


async def answer_to(client, message):
    return await client.ModelInfer(message)


async def test_a_start_that_is_given_up_ends_what_has_begun():
    """A server that is stopped before it has started would leave its task behind, and a line about it."""
    from prism_oip.rpc.face import _started

    class Starting:
        def __init__(self):
            self.may_start = asyncio.Event()
            self.done = []

        async def start(self):
            await self.may_start.wait()
            self.done.append("started")

        async def stop(self, grace):
            self.done.append("stopped")

    server = Starting()
    starting = asyncio.create_task(_started(server))
    await asyncio.sleep(0)
    starting.cancel()
    await asyncio.sleep(0)
    server.may_start.set()

    with pytest.raises(asyncio.CancelledError):
        await starting
    assert server.done == ["started", "stopped"]


@pytest.mark.sweep
@pytest.mark.parametrize("moment", ["link.up", '"name":"grpc"'])
def test_a_signal_while_it_starts_ends_it_without_a_trace(tmp_path, moment):
    """Just before gRPC is opened, and just after."""
    ports = ("--host", "127.0.0.1", "--port", "0", "--admin-port", "0", "--grpc-port", "0")
    command = [*PRISM, "serve", "--json", *ports, "--data-dir", str(tmp_path / "data")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if moment in line:
                process.send_signal(signal.SIGTERM)
                break
        lines += process.stderr.readlines()

    assert process.returncode == 0
    assert not [line for line in lines if "Traceback" in line or '"error"' in line]
