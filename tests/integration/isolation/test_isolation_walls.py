"""What `process` claims at each level of its sandbox, tried from inside of real replicas."""

from __future__ import annotations

import os
import sys

import msgspec
import pytest

from prism_core.isolation import process
from prism_core.isolation.process import ProcessConfig, open_processes, start_method
from prism_core.isolation.sandbox import Abilities
from prism_core.probe import MB, Wall
from prism_core.protocols import ReplicaSpec
from prism_core.testing import WallContract
from prism_core.testing.walls import attempt, probing, surroundings

pytestmark = pytest.mark.skipif(start_method()[0] != "zygote", reason="the sandbox is Linux's")

MISSING = "not in this test"


class Walls(WallContract):
    sandbox = "required"
    # The gateway keeps the limit itself; what the kernel refuses is more: see `isolation.limits`.
    memory_limit_bytes = 64 * MB
    memory_factor = 8.0

    def open(self):
        return open_processes(ProcessConfig())

    def spec(self, directory, replica):
        own = (replica, directory, directory, directory)
        return ReplicaSpec(*own, (), (), "server", sys.executable, sandbox=self.sandbox)


class TestNamespaces(Walls):
    # Processors are not divided, and a replica has the account of the server.
    walls = frozenset(Wall) - {Wall.PROCESSORS, Wall.USER}

    @pytest.fixture(autouse=True)
    def namespaces_work(self):
        if reason := process.abilities().namespaces:
            pytest.skip(reason)


@pytest.mark.sweep
class TestLandlock(Walls):
    walls = TestNamespaces.walls

    @pytest.fixture(autouse=True)
    def landlock_alone(self, monkeypatch):
        if reason := process.abilities().landlock:
            pytest.skip(reason)
        monkeypatch.setattr(process, "abilities", lambda: Abilities(MISSING, ""))


@pytest.mark.sweep
class TestLimits(Walls):
    sandbox = "best"
    walls = frozenset({Wall.MEMORY, Wall.THREADS, Wall.VARIABLES})

    @pytest.fixture(autouse=True)
    def nothing_works(self, monkeypatch):
        monkeypatch.setattr(process, "abilities", lambda: Abilities(MISSING, MISSING))


class TestOff(Walls):
    sandbox = "off"
    walls = frozenset({Wall.MEMORY})

    async def test_where_there_is_no_wall_the_probe_gets_through(self, tmp_path):
        """Else it would prove nothing where it does not. Of processors there may be too few to tell."""
        with surroundings(1) as facts:
            few = msgspec.structs.replace(facts, memory_mb=32, threads=8, hold_s=0)
            spec = probing(self.spec(tmp_path / "open-1-0", "open-1-0"), few)
            async with self.open() as launcher, self._running(launcher, spec) as handle:
                through = await attempt(handle.address, [*Wall])

        held = {wall for wall, told in through.items() if not told}
        assert held <= {Wall.PROCESSORS, *([Wall.CAPABILITIES] if os.geteuid() else [])}
        assert "32 MB" in through[Wall.MEMORY]
        assert "8 threads; it has 8 processes" in through[Wall.THREADS]
