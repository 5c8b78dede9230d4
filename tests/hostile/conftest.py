"""One real server with real replicas for all attacks, and what must be the same after them."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import pytest

from prism_core.testing.server import ServerProcess
from tests.hostile.neighbour import beside
from tests.hostile.subjects import train

# Bodies and what they unpack to; so small that a bomb is cheap for the test. No cache: it is to fill up.
CONFIG = "limits: {max_body: 8MB}\ncache: {enabled: false}"
# How much gateway and replicas together may grow after the first cases of a wave; 2 KB kept of each case
# would be more. What they may keep is bounded: the gateway 4,096 heads with what was read from them and
# 1,024 paths, about 8 MB; each of the three replicas, in an arena of malloc, what the largest body took, 8.
GROWTH_MB = 40


@pytest.fixture(scope="package")
def server(tmp_path_factory) -> Iterator[ServerProcess]:
    """A server with the three models, and nobody else's."""
    root = tmp_path_factory.mktemp("hostile")
    with ServerProcess(root / "data", "--grpc-port", "0", config=CONFIG) as server:
        for name, path in train(root).items():
            server.upload(path, "--name", name)
        yield server


@attrs.frozen
class Facts:
    """The processes of a server and their memory in MB, each its own: what is shared with others, even with
    another server, changes as those come and go.
    """

    processes: dict[int, float]
    memory_mb: float


def facts(server: ServerProcess) -> Facts:
    """Return what is there now."""
    found = {process.pid: process for process in server.processes()}
    memory = {pid: process.memory_full_info().uss / 2**20 for pid, process in found.items()}
    return Facts({pid: process.create_time() for pid, process in found.items()}, sum(memory.values()))


@pytest.fixture
def unharmed(server) -> Iterator[Facts]:
    """Afterwards the same processes are there, nothing odd is in the log, a good client was well served."""
    before, begun = facts(server), server.log.stat().st_size
    with beside(server.url) as neighbour:
        yield before
    log = server.log.read_text(errors="replace")[begun:]
    assert facts(server).processes == before.processes
    assert neighbour.faults == []
    assert neighbour.answers > 10
    assert "Traceback" not in log
