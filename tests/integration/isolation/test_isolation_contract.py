"""`process` keeps the contract of isolation backends, forked and spawned."""

from __future__ import annotations

import sys

import pytest

from prism_core.isolation.process import ProcessConfig, available, open_processes
from prism_core.protocols import ReplicaSpec
from prism_core.testing.isolation import IsolationContract

pytestmark = pytest.mark.skipif(bool(available()), reason=available() or "-")


class TestForked(IsolationContract):
    zygote = True

    def open(self):
        return open_processes(ProcessConfig(zygote=self.zygote), entry="toy_runtime:run")

    def spec(self, directory, replica):
        return ReplicaSpec(
            replica, directory.parent, directory.parent, directory, (), (), "toy", sys.executable
        )


class TestSpawned(TestForked):
    zygote = False
