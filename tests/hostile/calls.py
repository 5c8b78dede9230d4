"""Send messages over gRPC, as they are, and judge each status."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence

import attrs
import grpc

from tests.hostile.messages import Case

SERVICE = "/inference.GRPCInferenceService"
REFUSED = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}
IN_FLIGHT = 32
ANSWER_S = 60.0


@attrs.define
class Verdicts:
    """What became of the messages: how many had which status, by how they were spoilt; and what is wrong."""

    statuses: Counter[grpc.StatusCode] = attrs.field(factory=Counter)
    kinds: Counter[tuple[str, str]] = attrs.field(factory=Counter)
    faults: list[str] = attrs.field(factory=list)

    def judge(self, case: Case, status: grpc.StatusCode, told: str) -> None:
        """Count an answer."""
        self.statuses[status] += 1
        self.kinds[case.kind, status.name] += 1
        if not (status in REFUSED or (status is grpc.StatusCode.OK and not case.wrong)):
            self.faults.append(f"{status.name} {told[:500]!r} to {case}")


def send(url: str, cases: Sequence[Case]) -> Verdicts:
    """Send all cases to ModelInfer, and return what became of them."""
    verdicts, free = Verdicts(), threading.Semaphore(IN_FLIGHT)
    with channel(url) as open_channel:
        infer = open_channel.unary_unary(f"{SERVICE}/ModelInfer", None, None)
        asked = []
        for case in cases:
            free.acquire()
            call = infer.future(case.data, timeout=ANSWER_S)
            call.add_done_callback(lambda _: free.release())
            asked.append((case, call))
        for case, call in asked:
            verdicts.judge(case, call.code(), call.details() or "")
    return verdicts


def stream(url: str, cases: Sequence[Case]) -> list[bytes]:
    """Send all cases on one ModelStreamInfer; return what came back until the server ended it."""

    def messages() -> Iterator[bytes]:
        for case in cases:
            yield case.data

    with channel(url) as open_channel:
        infer = open_channel.stream_stream(f"{SERVICE}/ModelStreamInfer", None, None)
        return list(infer(messages(), timeout=ANSWER_S))


def status_of(url: str, method: str, data: bytes) -> grpc.StatusCode:
    """Call any method with any bytes."""
    with channel(url) as open_channel:
        call = open_channel.unary_unary(method, None, None).future(data, timeout=ANSWER_S)
        return call.code()


def channel(url: str) -> grpc.Channel:
    """Return a channel of its own to ``grpc://HOST:PORT``."""
    return grpc.insecure_channel(url.removeprefix("grpc://"), [("grpc.use_local_subchannel_pool", 1)])
