"""The objects that hooks lead to. Structural types: nothing needs to inherit, except models.

A plugin implements one of these and yields a record of `prism_core.specs` that opens it.
"""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import attrs
import msgspec

from prism_core.limits import Limits
from prism_core.types import Batch, Signature


class BaseModel(ABC):
    """A loaded model inside a runtime.

    ``predict`` is called by one thread at a time, not always the same one, with a batch
    that has been checked against ``signature``. It returns the outputs named by
    ``inputs.outputs`` (all of ``signature.computed`` when that is empty), each with as many
    rows as came in and in their order. Whatever it raises fails only the guilty request.
    """

    signature: Signature
    warnings: tuple[str, ...] = ()

    @abstractmethod
    def predict(self, inputs: Batch) -> Batch:
        """Compute the asked-for outputs of ``inputs``."""

    def example(self) -> Batch | None:
        """Return a small plausible input for the warm-up, or None to have one made from the signature."""
        return None


Config = TypeVar("Config")

# The task of a replica that converts its model and ends, instead of serving it.
OPTIMIZE = "optimize"


@attrs.frozen
class ReplicaSpec:
    """All that an isolation backend needs to start one replica.

    Parameters
    ----------
    replica
        Its name, unique in the life of the data directory, for instance ``churn-3-0``.
    manifest
        The path of the JSON file with the version's `Manifest`, readable by the runtime.
    artifact
        The artifact's file or directory, read only.
    directory
        A private directory of the replica, for its log and scratch files.
    plugins
        References (``name=module``) of the plugins that the runtime loads beside the built-in inputs.
    warm
        Modules worth importing before forking, as the loader requires them.
    environment
        The key of the environment; replicas of one environment may share a zygote.
    python
        The interpreter of the environment.
    recipe
        The JSON file of the `Environment`, for a backend that makes its own of it; None where there is none.
    threads
        How many threads the replica's numeric libraries may use.
    memory_limit_bytes
        Kill line of the replica, 0 for none.
    token
        What the gateway will present in HELLO where the replica makes its own address, else "".
    limits
        How much a stranger's bytes may make the runtime do.
    task
        "serve", or "optimize": convert the model, write the outcome into ``directory`` and end.
    sandbox
        How the replica is to be shut in: "required", "best" (as far as can be had here) or "off".
        A backend with levels of its own puts the name of the one it took here, for the runtime to tell.
    private
        Directories of the server, of which a replica sees its artifact and its own directory alone.
    """

    replica: str
    manifest: Path
    artifact: Path
    directory: Path
    plugins: tuple[str, ...]
    warm: tuple[str, ...]
    environment: str
    python: str
    threads: int = 1
    memory_limit_bytes: int = 0
    token: str = ""
    limits: Limits = Limits()
    task: str = "serve"
    sandbox: str = "best"
    private: tuple[Path, ...] = ()
    recipe: Path | None = None

    def to_json(self) -> bytes:
        """Return the spec as JSON, paths as strings."""
        return msgspec.json.encode(self, enc_hook=str)

    @classmethod
    def from_json(cls, data: bytes) -> ReplicaSpec:
        """Read a spec that `to_json` wrote."""
        return _decode(data)


# Made once: it takes a millisecond, which is much of what a replica takes to start.
_decode = msgspec.json.Decoder(ReplicaSpec, dec_hook=lambda kind, value: kind(value)).decode


@attrs.frozen
class ReplicaHandle:
    """Where a started replica is; plain values, so it survives a restart of the gateway.

    ``started`` is the process's start time as the system counts it: with the pid it
    identifies a process for good. ``pid`` is 0 where there is none to see.
    """

    replica: str
    backend: str
    pid: int
    started: float
    address: str


@attrs.frozen
class Usage:
    """What a replica uses now.

    Parameters
    ----------
    memory_bytes
        Its own memory, which is free again when it ends: USS where that can be had, what its
        cgroup is charged in a container, else RSS.
    cpu_s
        Processor time so far.
    share_bytes
        Its own memory and its share of what it has in common with others (PSS); 0 where
        that cannot be told. Over all processes these add up to what is really used.
    """

    memory_bytes: int
    cpu_s: float
    share_bytes: int = 0


class Launcher(Protocol):
    """An open isolation backend. Three verbs, and two looks."""

    async def start(self, spec: ReplicaSpec, listener: socket.socket | None) -> ReplicaHandle:
        """Start a replica that accepts on ``listener`` (bound and listening; None: it makes its own address).

        Returns when the process exists, not when the model is loaded; an address of the replica's own
        must be connectable by then. The listener stays the caller's.

        Raises
        ------
        LaunchFailed
            With the step that failed and the last lines of the replica's log.
        """

    async def poll(self, handle: ReplicaHandle) -> int | None:
        """Return None while it runs, else its exit code (negative: the signal; -1 where it is unknown)."""

    async def wait(self, handle: ReplicaHandle) -> int:
        """Return the exit code as soon as it has ended."""

    async def stop(self, handle: ReplicaHandle, grace_s: float) -> None:
        """Ask it to drain, kill it after ``grace_s``; returns when it is gone. Stopping twice is fine."""

    def logs(self, spec_directory: Path, tail: int, follow: bool) -> AsyncIterator[str]:
        """Yield the last ``tail`` lines of what the replica wrote, and with ``follow`` those to come."""

    async def usage(self, handle: ReplicaHandle) -> Usage | None:
        """Measure it, or None when it is gone."""


@runtime_checkable
class Explains(Protocol):
    """What a `Launcher` may have beside: why a replica ended, where that is more than its exit code."""

    def reason(self, handle: ReplicaHandle) -> str:
        """Return why it ended, as the end of a sentence, "" where nothing is known; asked after `wait`."""


@runtime_checkable
class Prepares(Protocol):
    """A launcher that makes something of an environment before it starts replicas in it, such as an image."""

    async def prepare(self, recipe: Path | None, tell: Callable[[Mapping[str, Any]], None]) -> None:
        """Make it, where it is not there; ``recipe`` is that of the replicas' spec.

        Part of an upload's step "environment", so no replica's time to start is spent on it. ``tell`` is
        given facts about the progress, among them a ``text`` for people. `Launcher.start` works without it.

        Raises
        ------
        EnvironmentFailed
            If it cannot be made.
        """


@runtime_checkable
class Cache(Protocol):
    """A store of answers. Whatever it raises is a miss to the caller, and counted.

    It may have ``counts``, a mapping of names to numbers that only grow: they are shown in
    the metrics, beside what the gateway counts of its calls.
    """

    async def get(self, key: bytes) -> bytes | None:
        """Return the value or None."""

    async def put(self, key: bytes, value: bytes, ttl_s: float | None) -> None:
        """Keep the value for at most ``ttl_s`` seconds, or forget it at once: a cache may always forget."""

    async def clear(self) -> None:
        """Forget everything of this server."""


@attrs.frozen
class Spending:
    """Requests that were let in since the last one was told of, to be taken from a shared bucket.

    Parameters
    ----------
    subject
        Whose bucket, for instance ``address/203.0.113.7`` or ``model/churn``.
    interval_s
        The time in which one request is earned.
    count
        How many were let in.
    """

    subject: str
    interval_s: float
    count: int


@runtime_checkable
class RateStore(Protocol):
    """Where servers that share rate limits keep how far each bucket is from full."""

    async def spend(self, spendings: Sequence[Spending]) -> Sequence[float]:
        """Take requests from buckets; return for each in how many seconds it is full then.

        A bucket is a moment, that at which it is full; one that is not known is full now. Each spending moves
        it on by ``count * interval_s``, from now if it lies in the past. It may be moved on by more than
        the bucket holds: what was let in was let in. After that moment it may be forgotten.
        """


@attrs.frozen
class PublicListener:
    """The address on which the public listener was bound, for link providers."""

    host: str
    port: int
    scheme: str = "http"

    @property
    def everywhere(self) -> bool:
        """Whether it listens on every interface: then a URL needs another host, one that can be reached."""
        return self.host in ("", "0.0.0.0", "::")

    def url(self, host: str = "") -> str:
        """Return the base URL with ``host``, by default the listener's own or this machine's loopback."""
        name = host or ("127.0.0.1" if self.everywhere else self.host)
        return f"{self.scheme}://{f'[{name}]' if ':' in name else name}:{self.port}"


class Linker(Protocol):
    """An open link provider: makes the public listener reachable under a URL."""

    async def publish(self, listener: PublicListener) -> str:
        """Return the base URL, without a trailing slash, under which the listener is now reachable.

        Raises
        ------
        TunnelRefused
            If another try would fail as well until the owner does something. Whatever else is raised
            is tried again, after a while that grows; soon, where it is a `TunnelFailed` whose ``details`` say
            ``{"reached": False}``: the network is away, and nobody minds.
        """

    async def withdraw(self) -> None:
        """End what `publish` began; safe to call twice."""

    async def health(self) -> str:
        """Return "" when the link works, else why it does not."""


@runtime_checkable
class Breaks(Protocol):
    """What a `Linker` may have beside: it notices by itself when what it published is gone."""

    async def broken(self) -> str:
        """Return why, as soon as it is; the link is withdrawn and published again then."""


class CommandLine(Protocol):
    """What the command of a plugin is given, as click's ``ctx.obj``: what was said, and how to answer.

    The options that all commands have are on it without its doing, before its name or after it.
    """

    @property
    def json(self) -> bool:
        """Whether programs read what is printed: JSON on stdout, nothing else."""

    @property
    def data_dir(self) -> Path:
        """The data directory of the server that is meant."""

    def config(self, name: str, cls: type[Config]) -> Config:
        """Return ``plugins.<name>``; an empty ``namespace`` is the server's id, ``data_dir`` its place."""

    def admin(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the admin API of the server, ``GET /models``; its errors are raised as they were there."""

    def running(self) -> bool:
        """Return whether a server runs that `admin` would ask."""

    def write_json(self, value: Any) -> None:
        """Write a value as one line of JSON."""

    def write_table(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Write a table; cells are plain text."""

    def start_log(self) -> None:
        """Write events of structlog and logging to stderr, as a server does: for a command that serves."""

    def progress(self, title: str) -> AbstractContextManager[Callable[[str], None]]:
        """Show on a terminal that something lasts; give what tells how far it is."""
