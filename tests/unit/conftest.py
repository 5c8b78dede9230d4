"""A real lane over replicas that answer when the test says so; logging that is left as it was."""

from __future__ import annotations

import asyncio
import logging

import pytest
import structlog

from prism_core import wire
from prism_core.gateway.cache import AnswerCache
from prism_core.gateway.lane import Head, Lane
from prism_core.gateway.lru import Store
from prism_core.manifest import Manifest
from prism_core.types import Signature, TensorSpec

SIGNATURE = Signature((TensorSpec("x", "FP64", (-1, 1)),), (TensorSpec("y", "FP64", (-1,)),))


@pytest.fixture
def logging_kept():
    """Leave logging as it was, whatever the test sets up."""
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.basicConfig(handlers=handlers, level=level, force=True)
    structlog.reset_defaults()


class FakeReplica:
    """Answers a call when the test says so; remembers what was cancelled."""

    def __init__(self):
        self.waiting = {}
        self.asked = []
        self.cancelled = []

    @property
    def in_flight(self):
        return len(self.waiting)

    @property
    def calls(self):
        return len(self.asked)

    def ask(self, head, body, timeout_s, answer, request=""):
        self.asked.append(body)
        self.waiting[len(self.asked)] = answer
        return len(self.asked)

    def cancel(self, call_id):
        self.cancelled.append(call_id)
        del self.waiting[call_id]

    def let_go(self, call_id, ended):
        if len(self.waiting) == 1:
            self.waiting[call_id] = ended
        else:
            self.cancel(call_id)

    def answer(self, call_id, outcome=None, body=b"[1]"):
        reply = wire.Reply(call_id, "application/json", 1, 4, 10, 20) if outcome is None else outcome
        self.waiting.pop(call_id)(reply, memoryview(body))


class Scene:
    """A lane with one replica and a cache, and what it recorded."""

    def __init__(self, deterministic=True, second=None):
        self.records = []
        self.replica = FakeReplica()
        self.lane = self.open(deterministic, second)
        self.lane.add(self.replica)

    def open(self, deterministic=True, second=None):
        manifest = Manifest("m", 3, "toy", "toy", "a", "sha256:0", 1, 0.0, deterministic=deterministic)
        cache = AnswerCache(Store(1 << 20), b"version 3", 60, second)
        return Lane(manifest, SIGNATURE, cache=cache, record=self.records.append)

    async def ask(self, body=b"[[1]]", timeout_s=0.0, lane=None):
        """Begin a call, and let it come as far as it can."""
        task = asyncio.create_task((lane or self.lane).predict(Head(), body, timeout_s))
        await asyncio.sleep(0)
        return task


@pytest.fixture
def fake_replica():
    return FakeReplica


@pytest.fixture
def scene_of():
    return Scene


@pytest.fixture
async def scene():
    return Scene()
