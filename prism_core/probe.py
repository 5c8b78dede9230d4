"""A model that tries the walls around it, for `prism_core.testing.IsolationContract`.

It is a plugin like others, but no server finds it: a replica is told of it by name, and has it wherever
it has PRISM's runtime. Each attempt answers "" where the wall held, else what got through.
"""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from prism_core.plugin import Artifact, BaseModel, Batch, Loader, Signature, TensorSpec, hookimpl

REFERENCE = "probe=prism_core.probe"
LOADER = "probe"
MB = 1024 * 1024
STEP_MB = 16
BUSY_S = 1.0
# Of the processors that a replica may use: what a scheduler's slices and the clocks may add.
TOLERANCE = 1.25


class Wall(StrEnum):
    """What may stand between a replica and its machine; docs/reference/testing.md says what is tried."""

    NETWORK = "network"
    FILES = "files"
    READ_ONLY = "read_only"
    VARIABLES = "variables"
    PROCESSES = "processes"
    CAPABILITIES = "capabilities"
    NEW_PRIVILEGES = "new_privileges"
    SYSTEM_CALLS = "system_calls"
    PROCESSORS = "processors"
    USER = "user"
    MEMORY = "memory"
    THREADS = "threads"


class Facts(msgspec.Struct, frozen=True):
    """What the probe is told of its surroundings: the file that it loads.

    Parameters
    ----------
    port, abstract
        Where something of the machine listens: on 127.0.0.1, and at an abstract name.
    secrets
        Files that are no business of a model, and that every account may read.
    variable
        A variable of the gateway's environment.
    pid, marker
        A process of the machine, and a word of its command line.
    processors
        How many the replica may use.
    memory_mb, threads
        How much to try to take, and how many to start.
    hold_s
        How long it may take until too many threads are noticed.
    """

    port: int
    abstract: str
    secrets: tuple[str, ...]
    variable: str
    pid: int
    marker: str
    processors: float
    memory_mb: int
    threads: int
    hold_s: float = 10.0


class Probe(BaseModel):
    """Tries the walls that it is asked for, one a row, and tells what got through."""

    signature = Signature(
        (TensorSpec("wall", "BYTES", (-1,)),), (TensorSpec("through", "BYTES", (-1,)),), deterministic=False
    )

    def __init__(self, facts: Facts, artifact: Path) -> None:
        self.facts = facts
        self.artifact = artifact

    def predict(self, inputs: Batch) -> Batch:
        """Try each."""
        through = [self.attempt(wall) for wall in inputs["wall"]]
        return Batch({"through": np.array(through, object)})

    def example(self) -> Batch:
        """Return what tries nothing."""
        return Batch({"wall": np.array([""], object)})

    def attempt(self, wall: str) -> str:
        """Try one wall; "" where it held."""
        if wall not in ATTEMPTS:
            return f"there is no attempt at {wall!r}" if wall else ""
        through = "; ".join(ATTEMPTS[Wall(wall)](self))
        print(f"{wall}: {through or 'nothing got through'}")
        return through

    # --- what is around it ----------------------------------------------------------------

    def network(self) -> Iterator[str]:
        """Look for interfaces, and for what listens on the machine."""
        others = [name for name in _interfaces() if name != "lo"]
        if others:
            yield f"there are the interfaces {', '.join(others)}"
        if _connects(socket.AF_INET, ("127.0.0.1", self.facts.port)):
            yield f"port {self.facts.port} of the machine answers"
        if _connects(socket.AF_UNIX, f"\0{self.facts.abstract}"):
            yield "an abstract socket of the machine answers"

    def files(self) -> Iterator[str]:
        """Read what is no business of a model."""
        for path in self.facts.secrets:
            if _succeeds(Path(path).read_bytes):
                yield f"{path} can be read"

    def read_only(self) -> Iterator[str]:
        """Write into the root, the system and the environment, and onto files, its model among them."""
        for directory in ("/", "/etc", "/usr", "/var", sys.prefix, os.path.dirname(np.__file__)):
            if _succeeds(partial(_touch, Path(directory))):
                yield f"{directory} can be written"
        for file in (self.artifact, *map(Path, self.facts.secrets)):
            if _succeeds(partial(_append_nothing, file)):
                yield f"{file} can be written"

    def variables(self) -> Iterator[str]:
        """Look for a variable of the gateway."""
        if self.facts.variable in os.environ:
            yield f"{self.facts.variable} is there"

    def processes(self) -> Iterator[str]:
        """Look for a process of the machine, and try whether a signal would reach it."""
        for command in Path("/proc").glob("[0-9]*/cmdline"):
            if _succeeds(partial(_find, self.facts.marker, command)):
                yield f"{command} of the machine can be seen"
        if _succeeds(lambda: os.kill(self.facts.pid, 0)):
            yield f"a signal reaches process {self.facts.pid}"

    # --- what the kernel says of it -------------------------------------------------------

    def capabilities(self) -> Iterator[str]:
        """Look for capabilities."""
        status = _status()
        for name in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
            if int(status[name], 16):
                yield f"{name} is {status[name]}"

    def new_privileges(self) -> Iterator[str]:
        """Look whether a program could give it more."""
        if _status()["NoNewPrivs"] != "1":
            yield "programs may give it new privileges"

    def system_calls(self) -> Iterator[str]:
        """Look for a filter of system calls."""
        if _status()["Seccomp"] != "2":
            yield "there is no filter"

    # --- what it may take -----------------------------------------------------------------

    def processors(self) -> Iterator[str]:
        """Compute on more processors than it may use."""
        begun, used = time.perf_counter(), time.process_time()
        ends = begun + BUSY_S
        busy = [
            threading.Thread(target=_compute, args=(ends,)) for _ in range(int(self.facts.processors) + 2)
        ]
        _run(busy)
        share = (time.process_time() - used) / (time.perf_counter() - begun)
        if share > self.facts.processors * TOLERANCE:
            yield f"it uses {share:.2f} processors"

    def memory(self) -> Iterator[str]:
        """Take memory and use it, until there is no more."""
        taken: list[np.ndarray] = []
        try:
            while len(taken) * STEP_MB < self.facts.memory_mb:
                taken.append(np.ones(STEP_MB * MB, np.uint8))
        except MemoryError:
            print(f"MemoryError after {len(taken) * STEP_MB} MB")
            return
        yield f"it takes {len(taken) * STEP_MB} MB"

    def threads(self) -> Iterator[str]:
        """Start threads, then processes, until there are no more."""
        enough = threading.Event()
        waiting = [threading.Thread(target=enough.wait, daemon=True) for _ in range(self.facts.threads)]
        before = threading.stack_size(64 * 1024)
        try:
            for thread in waiting:
                thread.start()
            enough.wait(self.facts.hold_s)  # where more are not refused, they are ended for it
            yield f"it has {len(waiting)} threads"
        except RuntimeError:
            print(f"no more than {sum(thread.is_alive() for thread in waiting)} threads")
        finally:
            threading.stack_size(before)
            enough.set()
            for thread in filter(threading.Thread.is_alive, waiting):
                thread.join()
        if (count := _fork(self.facts.threads)) >= self.facts.threads:
            yield f"it has {count} processes"


# What is missing is measured from outside: whose process it is.
ATTEMPTS: dict[Wall, Callable[[Probe], Iterator[str]]] = {
    Wall.NETWORK: Probe.network,
    Wall.FILES: Probe.files,
    Wall.READ_ONLY: Probe.read_only,
    Wall.VARIABLES: Probe.variables,
    Wall.PROCESSES: Probe.processes,
    Wall.CAPABILITIES: Probe.capabilities,
    Wall.NEW_PRIVILEGES: Probe.new_privileges,
    Wall.SYSTEM_CALLS: Probe.system_calls,
    Wall.PROCESSORS: Probe.processors,
    Wall.MEMORY: Probe.memory,
    Wall.THREADS: Probe.threads,
}


def _succeeds(call: Callable[[], Any]) -> bool:
    try:
        call()
    except (OSError, ValueError):
        return False
    return True


def _interfaces() -> list[str]:
    """Return the interfaces that can be seen; none where sockets cannot be had, which the list needs."""
    try:
        return [name for _, name in socket.if_nameindex()]
    except OSError:
        return []


def _connects(family: int, address: Any) -> bool:
    def connect() -> None:
        with socket.socket(family) as client:
            client.settimeout(2)
            client.connect(address)

    return _succeeds(connect)


def _touch(directory: Path) -> None:
    path = directory / f".prism-probe-{os.getpid()}"
    path.touch(exist_ok=False)
    path.unlink()


def _append_nothing(path: Path) -> None:
    with path.open("r+b"):
        pass


def _find(word: str, path: Path) -> None:
    path.read_text().index(word)


def _status() -> dict[str, str]:
    lines = Path("/proc/self/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines)


def _compute(ends: float) -> None:
    """Keep a processor busy, without the interpreter's lock."""
    data = bytes(MB)
    while time.perf_counter() < ends:
        hashlib.sha256(data)


def _run(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _fork(most: int) -> int:
    """Fork up to ``most`` children that wait; return how many there could be, and end them."""
    children: list[int] = []
    try:
        while len(children) < most:
            child = os.fork()
            if not child:
                signal.pause()
            children.append(child)
    except OSError as error:
        print(f"no more than {len(children)} processes: {error}")
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return len(children)


def _load(artifact: Artifact, options: Any) -> Probe:
    return Probe(msgspec.json.decode(artifact.path.read_bytes(), type=Facts), artifact.path)


@hookimpl
def prism_loaders() -> Iterator[Loader]:
    """Offer the loader of the probe."""
    yield Loader(
        LOADER, (".probe",), lambda artifact: float(artifact.suffix == ".probe"), _load, row_independent=False
    )
