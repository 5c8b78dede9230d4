"""The backend ``podman`` keeps the contract of isolation backends, and its walls hold."""

from __future__ import annotations

import os

import pytest

from prism_core.probe import MB, Wall
from prism_core.testing import IsolationContract
from prism_podman.machine import missing

pytestmark = [
    pytest.mark.podman,
    pytest.mark.system,
    pytest.mark.sweep,
    pytest.mark.skipif(bool(missing()), reason=missing() or "-"),
]


def bounded() -> bool:
    """Whether control groups bound a user's containers here."""
    return os.geteuid() == 0 or os.path.exists("/sys/fs/cgroup/cgroup.controllers")


class TestPodman(IsolationContract):
    transport = "own"
    walls = frozenset(Wall) - (frozenset() if bounded() else {Wall.PROCESSORS})
    # Else the server keeps the limit, and the kernel refuses what is far more.
    memory_limit_bytes = 192 * MB if bounded() else 64 * MB
    memory_factor = 1.0 if bounded() else 8.0

    @pytest.fixture(autouse=True)
    def _own(self, open_launcher, spec_of):
        self.open, self.spec = open_launcher, spec_of

    def open(self):
        raise NotImplementedError("the fixture gives it")

    def spec(self, directory, replica):
        raise NotImplementedError("the fixture gives it")
