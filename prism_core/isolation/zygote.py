"""A warm process that forks replicas: ``python -P -m prism_core.isolation.zygote CONTROL LIFE [--apart]``.

It has imported what models need, so a replica exists in milliseconds and shares those
pages. It has one thread, always: a lock that another thread holds at the moment of a fork
stays locked in the child for good. A module that starts a thread is therefore reported
and ends this zygote's work; the gateway starts another one that leaves it out.
"""

from __future__ import annotations

import gc
import importlib
import os
import select
import signal
import socket
import sys
import traceback

from prism_core.isolation.child import become_forked, find_entry, settle
from prism_core.isolation.confine import share_threads
from prism_core.isolation.life import tie_to_life
from prism_core.isolation.messages import (
    MAX_MESSAGE_BYTES,
    Exited,
    Fork,
    Forked,
    Refused,
    Threaded,
    decode_request,
    encode,
)
from prism_core.isolation.view import imported
from prism_core.protocols import ReplicaSpec


def threads() -> int:
    """Return how many threads this process has, those of C libraries included."""
    return len(os.listdir("/proc/self/task"))


def warm(name: str, spec: ReplicaSpec) -> None:
    """Import a module; for ``module:function`` call that with ``spec``, where the module has it."""
    module, _, function = name.partition(":")
    found = importlib.import_module(module)
    if function and hasattr(found, function):
        getattr(found, function)(spec)


def _key(name: str, spec: ReplicaSpec) -> tuple[str, ...]:
    # Modules are imported once; what is called depends on the plugins and the loader of the replica.
    return (name, *spec.plugins, *spec.warm) if ":" in name else (name,)


class Zygote:
    """One loop over the gateway's requests and the ends of its children.

    Parameters
    ----------
    control
        A SOCK_SEQPACKET socket to the gateway.
    life
        The read end of this process's life line.
    """

    def __init__(self, control: socket.socket, life: int) -> None:
        self._control = control
        self._life = life
        self._children: dict[int, int] = {}  # pidfd -> pid
        self._warmed: set[tuple[str, ...]] = set()
        self._environment: tuple[str, ...] = ()
        self._culprit: str | None = None if threads() == 1 else ""

    def run(self) -> None:
        """Serve until the gateway closes its end."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        while True:
            for descriptor, _ in poll.poll():
                if descriptor != self._control.fileno():
                    poll.unregister(descriptor)
                    self._reap(descriptor)
                    continue
                data, descriptors, _, _ = socket.recv_fds(self._control, MAX_MESSAGE_BYTES, 3)
                if not data:
                    return
                pidfd = self._serve(decode_request(data), descriptors)
                if pidfd is not None:
                    poll.register(pidfd, select.POLLIN)

    def _serve(self, request: Fork, descriptors: list[int]) -> int | None:
        try:
            self._warm(request)
            if self._culprit is not None:
                self._report(Threaded(request.id, self._culprit))
                return None
            return self._fork(request, descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _warm(self, request: Fork) -> None:
        spec = ReplicaSpec.from_json(request.spec)
        new = [one for one in request.warm if _key(one, spec) not in self._warmed]
        for name in new:
            if self._culprit is not None:
                return
            self._warmed.add(_key(name, spec))
            try:
                warm(name, spec)
            except (Exception, SystemExit):
                # The runtime does it again and says in its own words what is missing.
                traceback.print_exc()
            if threads() != 1:
                self._culprit = name
        if new:
            self._environment = imported()
            gc.collect()
            gc.freeze()  # the collector would write into every page that is shared with children

    def _fork(self, request: Fork, descriptors: list[int]) -> int | None:
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            pid = os.fork()
        except OSError as error:
            self._report(Refused(request.id, error.strerror or "fork failed"))
            return None
        if pid == 0:
            self._be_child(request, *descriptors)
        pidfd = os.pidfd_open(pid)
        self._children[pidfd] = pid
        socket.send_fds(self._control, [encode(Forked(request.id, pid))], [pidfd])
        return pidfd

    def _be_child(self, request: Fork, life: int, log: int, listener: int) -> None:
        code = 1
        try:
            spec = ReplicaSpec.from_json(request.spec)
            become_forked(log, [self._control.detach(), self._life, *self._children])
            settle(spec.replica, spec.directory, life, request.confines, self._environment)
            code = find_entry(request.entry)(spec, socket.socket(fileno=listener))
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
        except BaseException:
            traceback.print_exc()
        finally:
            # Whatever happens: never return into the zygote's loop.
            try:
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(code & 0xFF)

    def _reap(self, pidfd: int) -> None:
        pid = self._children.pop(pidfd)
        try:
            # While the leader is not reaped its group's number cannot belong to anyone else.
            os.killpg(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass  # it ended before it had a group, or nothing of the group is left
        os.close(pidfd)
        _, status = os.waitpid(pid, 0)
        self._report(Exited(pid, os.waitstatus_to_exitcode(status)))

    def _report(self, message: Refused | Threaded | Exited) -> None:
        self._control.send(encode(message))


def main() -> None:
    """Run on the two inherited descriptors that the command line names.

    ``--apart``: in a PID namespace of its own, below whatever holds that together.
    """
    control, life = (int(argument) for argument in sys.argv[1:3])
    for descriptor in (control, life):
        os.set_inheritable(descriptor, False)
    if sys.argv[3:]:
        os.setpgid(0, 0)
        share_threads()
    tie_to_life(life)
    gc.disable()  # forked replicas enable it again
    Zygote(socket.socket(fileno=control), life).run()


if __name__ == "__main__":
    main()
