"""The gateway's end of the zygotes: one per environment, replaced when it dies or may not fork.

A zygote reports how its children end. Should it die before them they go on serving: a
pidfd of each tells the gateway that it has ended, only not how, which is exit code -1.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable

import attrs

from prism_core.errors import LaunchFailed
from prism_core.isolation.bubblewrap import wrapped
from prism_core.isolation.confine import Confines
from prism_core.isolation.messages import (
    MAX_MESSAGE_BYTES,
    Exited,
    Fork,
    Forked,
    Refused,
    Threaded,
    decode_report,
    encode,
)
from prism_core.isolation.sandbox import Level
from prism_core.isolation.variables import replica_variables
from prism_core.plugins import BUILT_IN
from prism_core.protocols import ReplicaSpec

UNKNOWN_EXIT = -1
# What the runtime's module may have beside its entry; see `zygote.warm`.
REHEARSE = "rehearse"
# A zygote reports an exit within a millisecond; one that is stopped or stuck never does.
REPORT_S = 1.0


@attrs.frozen
class Started:
    """A process that exists; ``exited`` will hold its exit code."""

    pid: int
    exited: asyncio.Future[int]


@attrs.frozen
class Kind:
    """What replicas of one zygote have in common.

    Under namespaces it sees ``read`` and ``write`` alone, where there is something in ``read``.
    """

    environment: str
    python: str
    level: Level
    variables: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()

    @property
    def other(self) -> bool:
        """Whether they run on another interpreter than the server."""
        return self.python != sys.executable


def pid_of(pidfd: int) -> int:
    """Return the number that a process has here, whatever PID namespace it is in; 0 once it is gone."""
    with open(f"/proc/self/fdinfo/{pidfd}") as file:
        # The kernel says -1 then, and to signal that would be to signal everybody.
        return max(0, int(file.read().partition("Pid:")[2].split()[0]))


def watch(loop: asyncio.AbstractEventLoop, pidfd: int, ended: Callable[[], None]) -> None:
    """Have ``ended`` called once the process has ended; closes the pidfd."""

    def readable() -> None:
        loop.remove_reader(pidfd)
        os.close(pidfd)
        ended()

    loop.add_reader(pidfd, readable)


class ZygoteLost(Exception):
    """The zygote died or did not answer; what it was asked for has not happened."""


class NotForkable(Exception):
    """The zygote has more than one thread, because of this module ("": before any)."""

    def __init__(self, module: str) -> None:
        super().__init__(module)
        self.module = module


class Zygote:
    """One running zygote, as the gateway sees it.

    Parameters
    ----------
    kind
        Its environment, and how its replicas are shut in.
    on_lost
        Called once, when the process has ended.
    idle_s
        After so long without a replica it ends; None: never.

    Attributes
    ----------
    ended
        Resolves when the process has ended, with the reason.
    retired
        Whether it forks no more.
    """

    def __init__(self, kind: Kind, on_lost: Callable[[Zygote], None], idle_s: float | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_lost = on_lost
        self._idle_s = idle_s
        self._resting: asyncio.TimerHandle | None = None
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Started]] = {}
        self._exits: dict[int, asyncio.Future[int]] = {}  # by the zygote's own numbers
        self.retired = False
        self.ended: asyncio.Future[str] = self._loop.create_future()
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        with contextlib.ExitStack() as opened:
            opened.callback(self._output.close)
            self._start(kind, opened)
            opened.pop_all()

    def _start(self, kind: Kind, opened: contextlib.ExitStack) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        opened.callback(self._control.close)
        read_end, self._life = os.pipe()
        opened.callback(os.close, self._life)
        try:
            self._process = self._open(kind, theirs.fileno(), read_end)
        finally:
            theirs.close()
            os.close(read_end)
        self._control.setblocking(False)
        self._loop.add_reader(self._control.fileno(), self._read)
        watch(self._loop, os.pidfd_open(self._process.pid), self._died)

    def _open(self, kind: Kind, control: int, life: int) -> subprocess.Popen[bytes]:
        command = [kind.python, "-P", "-m", "prism_core.isolation.zygote", f"{control}", f"{life}"]
        if kind.level is Level.NAMESPACES:
            command = wrapped([*command, "--apart"], kind.read, kind.write)
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
            pass_fds=(control, life),
            env=replica_variables(os.environ, 1, kind.level, kind.variables, other=kind.other),
            start_new_session=True,
        )

    def _last_words(self) -> str:
        """Return the last line that it wrote, for instance of an ImportError."""
        size = self._output.seek(0, os.SEEK_END)
        self._output.seek(max(0, size - 4096))
        return self._output.read().decode(errors="replace").strip().rpartition("\n")[2]

    async def fork(
        self,
        spec: ReplicaSpec,
        entry: str,
        warm: tuple[str, ...],
        confines: Confines,
        descriptors: list[int],
        timeout_s: float,
    ) -> Started:
        """Have a replica forked.

        Raises
        ------
        ZygoteLost, NotForkable, LaunchFailed
            It is gone or hangs; it has threads; the system allows no more processes.
        """
        request = Fork(next(self._ids), spec.to_json(), entry, warm, confines)
        answer = self._answers[request.id] = self._loop.create_future()
        self._stop_resting()
        try:
            socket.send_fds(self._control, [encode(request)], descriptors)
            return await asyncio.wait_for(answer, timeout_s)
        except TimeoutError:
            self.kill()
            raise ZygoteLost(f"no answer in {timeout_s:g} s") from None
        except OSError as error:  # it has died, or reads nothing any more
            self.kill()
            raise ZygoteLost(await asyncio.shield(self.ended)) from error
        finally:
            self._answers.pop(request.id, None)
            self._rest()

    def retire(self) -> None:
        """Let it end once its last child has, so that no exit code is lost."""
        self.retired = True
        self._rest()

    def kill(self) -> None:
        """End it now; its children go on."""
        if self._life >= 0:
            # What was started may be bubblewrap, whose end is not the zygote's.
            os.close(self._life)
            self._life = -1
        self._process.kill()

    def _rest(self) -> None:
        """Where it has no replica: end it if it is retired, else let it wait for one, but not for ever."""
        if self._exits or self._answers:
            return
        if self.retired:
            self.kill()
        elif self._idle_s is not None and not self.ended.done():
            self._stop_resting()
            self._resting = self._loop.call_later(self._idle_s, self.retire)

    def _stop_resting(self) -> None:
        if self._resting:
            self._resting.cancel()
            self._resting = None

    def _read(self) -> None:
        while True:
            try:
                data, descriptors, _, _ = socket.recv_fds(self._control, MAX_MESSAGE_BYTES, 1)
            except BlockingIOError:
                return
            except OSError:
                data, descriptors = b"", []
            if not data:
                self._loop.remove_reader(self._control.fileno())
                return
            self._take(data, descriptors)

    def _take(self, data: bytes, descriptors: list[int]) -> None:
        message = decode_report(data)
        if isinstance(message, Exited):
            self._set_exit(message.pid, message.code)
            return
        answer = self._answers.get(message.id)
        if isinstance(message, Forked):
            pid = pid_of(descriptors[0])
            exited = self._watch(message.pid, descriptors[0])
            if answer and not answer.done():
                answer.set_result(Started(pid, exited))
        elif answer and not answer.done():
            answer.set_exception(_error(message))

    def _watch(self, pid: int, pidfd: int) -> asyncio.Future[int]:
        def ended() -> None:
            self._loop.call_later(0.0 if self.ended.done() else REPORT_S, self._set_exit, pid, UNKNOWN_EXIT)

        watch(self._loop, pidfd, ended)
        exited = self._exits[pid] = self._loop.create_future()
        return exited

    def _set_exit(self, pid: int, code: int) -> None:
        exited = self._exits.pop(pid, None)
        if exited and not exited.done():
            exited.set_result(code)
        self._rest()

    def _died(self) -> None:
        self._read()  # what it reported before
        self._loop.remove_reader(self._control.fileno())
        self._stop_resting()
        self.kill()
        self._control.close()
        code = self._process.wait()
        reason = self._last_words() or f"exit code {code}"
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(ZygoteLost(reason))
        self._output.close()
        self.ended.set_result(reason)
        self._on_lost(self)


def _error(message: Refused | Threaded) -> Exception:
    if isinstance(message, Threaded):
        return NotForkable(message.module)
    return LaunchFailed(
        f"The system refused another process: {message.reason}.",
        hint="Stop a model, or raise the limit on processes or memory.",
    )


class Forker:
    """Starts replicas from zygotes, one for each environment.

    Parameters
    ----------
    entry
        The runtime's ``module:function``.
    timeout_s
        How long a zygote may take to warm what is asked for and fork.
    idle_s
        How long a zygote of another interpreter than the server's waits for a replica.
    """

    def __init__(self, entry: str, timeout_s: float, idle_s: float | None = None) -> None:
        self._entry = entry
        self._timeout_s = timeout_s
        self._idle_s = idle_s
        self._zygotes: dict[Kind, Zygote] = {}
        self._all: set[Zygote] = set()
        self._threading: dict[Kind, set[str]] = {}
        self._closed = False

    async def start(
        self, kind: Kind, spec: ReplicaSpec, confines: Confines, descriptors: list[int]
    ) -> Started:
        """Fork a replica; the descriptors are life line, log and listener.

        Raises
        ------
        NotForkable
            This environment has threads before anything is imported.
        ZygoteLost, LaunchFailed
            The zygote ended or hangs; no more processes are allowed, or the launcher is closed.
        """
        threading = self._threading.setdefault(kind, set())
        while True:
            zygote = self._zygotes.get(kind)
            if zygote is None or zygote.retired:
                zygote = self._replace(kind)
            warm = tuple(module for module in self._wanted(spec) if module not in threading)
            try:
                return await zygote.fork(spec, self._entry, warm, confines, descriptors, self._timeout_s)
            except NotForkable as error:
                self._drop(kind, zygote)
                if not error.module:
                    raise
                threading.add(error.module)
            except ZygoteLost:
                self._drop(kind, zygote)
                raise

    def _wanted(self, spec: ReplicaSpec) -> tuple[str, ...]:
        # A plugin's reference is `name=module:attribute`; one that is a name alone is found in the replica.
        plugins = (plugin.partition("=")[2].partition(":")[0] for plugin in spec.plugins)
        runtime = self._entry.partition(":")[0]
        modules = ("numpy", runtime, BUILT_IN["inputs"], "uvloop", *spec.warm, *filter(None, plugins))
        return (*modules, f"{runtime}:{REHEARSE}")

    def _replace(self, kind: Kind) -> Zygote:
        if self._closed:
            raise LaunchFailed("The isolation backend is closed.")
        # The server's own stays: a model that comes back in milliseconds rests on it.
        idle_s = self._idle_s if kind.other else None
        zygote = self._zygotes[kind] = Zygote(kind, lambda lost: self._forget(kind, lost), idle_s)
        self._all.add(zygote)
        return zygote

    def _drop(self, kind: Kind, zygote: Zygote) -> None:
        if self._zygotes.get(kind) is zygote:
            del self._zygotes[kind]
            zygote.retire()

    def _forget(self, kind: Kind, zygote: Zygote) -> None:
        self._drop(kind, zygote)
        self._all.discard(zygote)

    async def close(self) -> None:
        """End every zygote, also the retired ones."""
        self._closed = True
        for zygote in tuple(self._all):
            zygote.kill()
            await asyncio.shield(zygote.ended)
