"""Predictions by a real server: values, statuses, deadlines, cancellation, and a server that stops."""

import signal
import struct
from pathlib import Path

import grpc
import httpx
import pytest

from prism_core.testing.server import ServerProcess
from prism_oip.rpc import oip_pb2 as pb

CODE = grpc.StatusCode
PLUGIN = Path(__file__).with_name("prism_napper.py")


def asking(model, *values, version="", raw=False, **fields):
    """Return a request with one FP64 input."""
    message = pb.ModelInferRequest(model_name=model, model_version=version, **fields)
    name, shape = ("x", [len(values)]) if model == "nap" else ("input", [len(values) // 2, 2])
    tensor = message.inputs.add(name=name, datatype="FP64", shape=shape)
    if raw:
        message.raw_input_contents.append(struct.pack(f"<{len(values)}d", *values))
    else:
        tensor.contents.fp64_contents.extend(values)
    return message


def values_of(answer):
    if answer.raw_output_contents:
        return list(struct.unpack(f"<{answer.outputs[0].shape[0]}d", answer.raw_output_contents[0]))
    return list(answer.outputs[0].contents.fp64_contents)


def failure(call, *args, **options):
    with pytest.raises(grpc.RpcError) as raised:
        call(*args, **{"timeout": 20, **options})
    return raised.value


@pytest.mark.parametrize("raw", [False, True])
def test_an_answer_is_bit_for_bit_that_of_json(client, server, raw):
    rows = [[1.0, 2.0], [0.1, 0.2]]
    native = httpx.post(f"{server.url}/model/line/predict", json={"input": rows}).json()

    answer = client.ModelInfer(asking("line", *rows[0], *rows[1], raw=raw, id="mine"), timeout=20)

    assert (answer.model_name, answer.model_version, answer.id) == ("line", "1", "mine")
    assert values_of(answer) == native["predictions"]
    assert bool(answer.raw_output_contents) is raw


@pytest.mark.parametrize("version", ["1", "latest"])
def test_a_version_is_a_number_or_an_alias(client, version):
    assert client.ModelInfer(asking("line", 0, 0, version=version), timeout=20).model_version == "1"


@pytest.mark.parametrize(
    ("request_", "code", "says"),
    [
        (asking("lime", 1, 2), CODE.NOT_FOUND, "'lime'"),
        (asking("line", 1, 2, version="7"), CODE.NOT_FOUND, "7"),
        (pb.ModelInferRequest(model_name="line"), CODE.INVALID_ARGUMENT, "input"),
        (asking("line"), CODE.INVALID_ARGUMENT, ""),
    ],
)
def test_what_cannot_be_answered(client, request_, code, says):
    error = failure(client.ModelInfer, request_)

    assert error.code() is code
    assert says in error.details()
    assert dict(error.trailing_metadata())["x-request-id"]


def test_a_message_that_is_too_large(client, server):
    body = b"\x00" * (64 * 1024 * 1024 + 1)

    error = failure(client.channel.unary_unary("/inference.GRPCInferenceService/ModelInfer"), body)

    assert error.code() is CODE.RESOURCE_EXHAUSTED
    assert client.ServerLive(pb.ServerLiveRequest(), timeout=20).live


def test_a_stream_of_predictions(client):
    requests = [asking("line", 1, 2, id="a"), asking("lime", 1, 2, id="b"), asking("line", 0, 1, id="c")]

    answers = list(client.ModelStreamInfer(iter(requests), timeout=20))

    assert [one.infer_response.id for one in answers] == ["a", "b", "c"]
    assert ["'lime'" in one.error_message for one in answers] == [False, True, False]
    assert values_of(answers[2].infer_response) == pytest.approx([3.0])


def test_predictions_are_counted(client):
    before = client.ModelStatistics(pb.ModelStatisticsRequest(name="other"), timeout=20).model_stats[0]
    client.ModelInfer(asking("other", 5, 6, 7, 8), timeout=20)
    after = client.ModelStatistics(pb.ModelStatisticsRequest(name="other"), timeout=20).model_stats[0]

    assert after.inference_count - before.inference_count == 2
    assert after.inference_stats.success.count - before.inference_stats.success.count == 1


# --- a model that is busy ------------------------------------------------------------------------


class Nap:
    """The model ``nap``: busy with whatever is 1 or more until it is ended."""

    def __init__(self, directory):
        self._seen = directory / "seen"
        self._enough = directory / "enough"

    @property
    def seen(self):
        """What it was asked to predict."""
        return [float(line) for line in self._seen.read_text().split()] if self._seen.exists() else []

    def begin(self):
        """Be busy from now on, and forget what was asked."""
        self._seen.unlink(missing_ok=True)
        self._enough.unlink(missing_ok=True)

    def end(self):
        self._enough.touch()


@pytest.fixture(scope="module")
def napper(tmp_path_factory):
    """Let servers find the plugin."""
    site = tmp_path_factory.mktemp("site")
    info = site / "prism_napper-1.0.dist-info"
    info.mkdir()
    (site / "prism_napper.py").write_text(PLUGIN.read_text())
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: prism-napper\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[prism]\nnapper = prism_napper\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(site))
        yield


@pytest.fixture
def napping(tmp_path, napper, configured):
    """A server with the model ``nap``, and the model."""
    config, settle = configured
    (tmp_path / "one.nap").write_text(str(tmp_path))
    flags = ("--sandbox", "off", "--grpc-port", "0", "--access-log")
    with ServerProcess(tmp_path / "data", *flags, config=config(nap=tmp_path / "one.nap")) as server:
        settle(server)
        nap = Nap(tmp_path)
        nap.begin()
        yield server, nap


def gone(server):
    """Return how many requests had been left, or were out of time, before they were answered."""
    log = server.data_dir / "access.log"
    text = log.read_text() if log.exists() else ""
    return sum(text.count(f'"status":{status}') for status in (499, 504))


def test_no_time_is_spent_on_who_has_left_and_a_stop_waits_for_the_rest(napping, target, new_client, until):
    """The model is busy with one request, three more wait; two of them have gone when it is free."""
    server, nap = napping
    with grpc.insecure_channel(target(server)) as channel:
        client = new_client(channel)
        busy = client.ModelInfer.future(asking("nap", 1.0), timeout=60)
        until(lambda: nap.seen)
        left = client.ModelInfer.future(asking("nap", 0.25), timeout=60)
        late = failure(client.ModelInfer, asking("nap", 0.5), timeout=0.3)
        patient = client.ModelInfer.future(asking("nap", 0.75), timeout=60)
        assert late.code() is CODE.DEADLINE_EXCEEDED
        left.cancel()
        until(lambda: gone(server) == 2)

        server.process.send_signal(signal.SIGTERM)
        until(lambda: "server.stopping" in server.log.read_text())
        nap.end()
        assert values_of(busy.result()) == [1.0]
        assert values_of(patient.result()) == [0.75]
    assert server.process.wait(20) == 0
    assert nap.seen == [1.0, 0.75]


def test_a_client_finds_a_server_again_and_a_second_signal_waits_for_nothing(
    napping, target, new_client, until
):
    server, nap = napping
    with grpc.insecure_channel(target(server)) as channel:
        client = new_client(channel)
        busy = client.ModelInfer.future(asking("nap", 1.0), timeout=60)
        until(lambda: nap.seen)
        server.kill()
        assert busy.code() is CODE.UNAVAILABLE

        nap.begin()
        server.flags += ["--grpc-port", target(server).rpartition(":")[2]]
        server.start()
        answer = client.ModelInfer(asking("nap", 0.5), timeout=60, wait_for_ready=True)
        assert values_of(answer) == [0.5]

        busy = client.ModelInfer.future(asking("nap", 2.0), timeout=60)
        until(lambda: 2.0 in nap.seen)
        server.process.send_signal(signal.SIGTERM)
        until(lambda: "server.stopping" in server.log.read_text())
        server.process.send_signal(signal.SIGTERM)
        assert busy.code() in (CODE.UNAVAILABLE, CODE.CANCELLED)
    assert server.process.wait(20) == 0
