"""Malformed messages over gRPC: each is refused as its sender's fault, and nobody else notices."""

from __future__ import annotations

import random

import grpc
import pytest

from prism_core.testing.fuzzing import damage
from prism_core.testing.server import ServerProcess
from prism_oip.rpc import oip_pb2
from tests.hostile import calls
from tests.hostile.calls import SERVICE, Verdicts
from tests.hostile.conftest import GROWTH_MB, facts
from tests.hostile.messages import SPOILERS, TOKENS, case

SEED, PIECE = 7, 1_000
# Until here malloc's arenas have grown to what so many messages at once take.
SETTLED = 9_000
READS = ["ServerLive", "ServerReady", "ServerMetadata", "ModelReady", "ModelMetadata", "ModelConfig"]
OWNERS = ["RepositoryModelLoad", "RepositoryModelUnload"]
OF_ALL = [*READS, "ModelStatistics", "RepositoryIndex"]


def attack(server: ServerProcess, first: int, count: int) -> Verdicts:
    """Send so many cases; what is wrong with a status fails the test, with the case that makes it again."""
    verdicts = calls.send(server.facts["grpc"], [case(SEED, first + number) for number in range(count)])
    assert not verdicts.faults, f"{len(verdicts.faults)} faults, the first ones:\n" + "\n".join(
        verdicts.faults[:5]
    )
    return verdicts


def test_a_thousand_malformed_messages_are_refused(server, unharmed):
    verdicts = attack(server, 0, 1_000)

    assert {kind for kind, _ in verdicts.kinds} == set(SPOILERS)
    assert verdicts.statuses.keys() >= calls.REFUSED


def test_a_stream_goes_on_behind_malformed_messages(server, unharmed):
    cases = [case(SEED, number) for number in range(300)]
    answers = [
        oip_pb2.ModelStreamInferResponse.FromString(one) for one in calls.stream(server.facts["grpc"], cases)
    ]

    assert len(answers) == len(cases)
    assert sum(bool(one.error_message) for one in answers) >= sum(case.wrong for case in cases)


def test_damaged_bytes_at_every_other_method(server, unharmed):
    """What is no message is INVALID_ARGUMENT; what only says something else may be answered."""
    chance = random.Random(SEED)
    good = oip_pb2.ModelMetadataRequest(name="line", version="1").SerializeToString()
    allowed = calls.REFUSED | {grpc.StatusCode.OK}
    for method in OF_ALL:
        for _ in range(20):
            data = damage(good, chance, TOKENS)
            status = calls.status_of(server.facts["grpc"], f"{SERVICE}/{method}", data)
            assert status in allowed, f"{method} {data!r}: {status}"


def test_what_there_is_not_is_told_so(server, unharmed):
    url = server.facts["grpc"]
    unknown = {calls.status_of(url, path, b"") for path in (f"{SERVICE}/Nothing", "/a/b", "/")}
    large = calls.status_of(url, f"{SERVICE}/ModelInfer", bytes(9 * 1024 * 1024))
    owner = {calls.status_of(url, f"{SERVICE}/{name}", b"\x12\x04line") for name in OWNERS}

    assert unknown == {grpc.StatusCode.UNIMPLEMENTED}
    assert large is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert owner == {grpc.StatusCode.PERMISSION_DENIED}


@pytest.mark.sweep
def test_twenty_thousand_malformed_messages_leave_no_trace(server, unharmed):
    for first in range(1_000, 1_000 + SETTLED, PIECE):
        attack(server, first, PIECE)
    before = facts(server)
    for first in range(1_000 + SETTLED, 20_000, PIECE):
        attack(server, first, PIECE)

    assert facts(server).memory_mb - before.memory_mb < GROWTH_MB
