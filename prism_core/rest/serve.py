"""Run the server: two listeners on one event loop, from open to drained.

Order: claim the ports, open the gateway, accept, publish the link, say that it is ready.
A signal ends it in reverse: accept no more, let what is in flight be answered for
``limits.drain_s``, close the gateway.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import structlog

from prism_core import __version__
from prism_core.gateway.gateway import Gateway
from prism_core.gateway.opening import open_gateway
from prism_core.gateway.outside import Outside
from prism_core.plugins import PluginSet
from prism_core.rest.accepting import Listening, accepting
from prism_core.rest.access import open_access
from prism_core.rest.app import admin_app, public_app
from prism_core.rest.cors import cors_of
from prism_core.rest.doors import Doors
from prism_core.rest.entrances import LinkEntrances
from prism_core.rest.faces import faces_of, noting, surroundings_of, urls_of
from prism_core.rest.leading import leading
from prism_core.rest.listen import listen, listen_together
from prism_core.rest.room import Room, connections
from prism_core.rest.tls.watching import certificates, check_admin_host
from prism_core.settings import Settings

log = structlog.get_logger(__name__)

# Objects between two looks of the garbage collector, and how many looks a generation lasts.
COLLECT_AFTER = (50_000, 20, 50)

Ready = Callable[[dict[str, Any]], None]


def run(settings: Settings, plugins: PluginSet, ready: Ready) -> None:
    """Serve until a signal comes, on uvloop where there is one."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(serve(settings, plugins, ready))


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes the event loop: uvloop where there is one."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def serve(settings: Settings, plugins: PluginSet, ready: Ready) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP; a second signal does not wait for what is in flight.

    Parameters
    ----------
    ready
        Called once, when requests are welcome, with ``public``, ``admin``, ``data_dir``,
        ``pid`` and ``version``.

    Raises
    ------
    ConfigError
        If a port cannot be used, or the data directory is another server's.
    """
    check_admin_host(settings)
    cors_of(settings)  # a wrong one is told before a port is open
    async with certificates(settings, leads=True) as secrets:
        with (
            listen_together(settings.host, settings.port, "--port", settings.gateways) as public,
            listen(settings.admin_host, settings.admin_port, "--admin-port") as admin,
        ):
            await _until_interrupted(settings, plugins, Doors(public, admin, secrets), ready)


async def _until_interrupted(settings: Settings, plugins: PluginSet, doors: Doors, ready: Ready) -> None:
    task = asyncio.current_task()
    assert task is not None
    interrupted = Interrupt(task)
    with _signals(interrupted):
        try:
            async with (
                open_gateway(settings, plugins) as gateway,
                open_access(settings, gateway.door) as access,
            ):
                await _serve(gateway, public_app(gateway, access), doors, ready, interrupted)
        except asyncio.CancelledError:
            if not interrupted.early:
                raise
            task.uncancel()
            log.info("server.interrupted")


class Interrupt:
    """What a signal does: while the server starts it gives up, later it drains, the second time at once."""

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self.stopping = asyncio.Event()
        self.hurry = asyncio.Event()
        self.early = False
        self.serving = False
        self._task = task

    def __call__(self) -> None:
        """Take a signal."""
        if self.stopping.is_set():
            self.hurry.set()
            return
        self.stopping.set()
        if not self.serving:
            self.early = True
            self._task.cancel()


async def _serve(gateway: Gateway, front: Any, doors: Doors, ready: Ready, interrupted: Interrupt) -> None:
    gateway.tls = doors.secrets.facts if doors.secrets else None
    limits = gateway.settings.limits
    plan = connections(limits.max_connections)
    room = Room(plan.public)
    strangers = Listening(front, room, doors.public_tls)
    owners = Listening(admin_app(gateway, interrupted.stopping), Room(plan.admin), doors.admin_tls)
    listening = {**dict.fromkeys(doors.public, strangers), doors.admin: owners}
    async with (
        leading(gateway, front, doors.public[1:], interrupted.hurry) as keepers,
        faces_of(limits.drain_s, interrupted.hurry) as faces,
        accepting(listening, interrupted.hurry, limits) as servers,
    ):
        await keepers.start(servers)
        entrances = LinkEntrances(gateway, room, interrupted.hurry, front.access)
        await gateway.publish(doors.links, entrances)
        gateway.outside = Outside(surroundings_of(gateway.settings, doors), noting(front.access))
        gateway.faces = await faces.open(gateway.plugins, gateway.settings.plugins, gateway.host)
        facts = _facts(gateway, doors)
        with _announced(Path(facts["data_dir"]) / "server.json", facts, gateway.faces) as move:
            gateway.publishing.public_moved = move
            log.info("server.ready", **facts)
            ready(facts)
            calm_collector()
            interrupted.serving = True
            await interrupted.stopping.wait()
        log.info("server.stopping")
        gateway.publishing.drain()
        keepers.drain()
        faces.drain()
    await gateway.publishing.close()  # while the access log is open
    if (
        interrupted.hurry.is_set() or servers.cut or faces.cut
    ):  # the grace time is over: replicas do not get it once more
        gateway.hurry()


def calm_collector() -> None:
    """Let the garbage collector look less often."""
    # What has been imported stays; a request leaves nothing in cycles. With the collector's
    # default of a look at every 700 new objects it took a third of the gateway's time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


def _facts(gateway: Gateway, doors: Doors) -> dict[str, Any]:
    return {
        **urls_of(gateway.faces, gateway.public_url),
        "public": gateway.public_url,
        "admin": doors.admin_url,
        "data_dir": str(gateway.settings.data_dir.expanduser().resolve()),
        "pid": os.getpid(),
        "tls": gateway.tls,
        "gateways": gateway.settings.gateways,
        "auth": gateway.settings.auth,
        "version": __version__,
    }


# --- the surroundings ---------------------------------------------------------------------


@contextmanager
def _signals(interrupted: Interrupt) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's; whoever runs a server elsewhere cancels it
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in _stopping()}
    for number in before:
        try:
            loop.add_signal_handler(number, interrupted)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(interrupted))
    try:
        yield
    finally:
        for number, handler in before.items():
            with suppress(NotImplementedError):
                loop.remove_signal_handler(number)
            signal.signal(number, handler)


def _stopping() -> list[signal.Signals]:
    """Return the signals that end a server; a closed terminal does unless `nohup` said otherwise."""
    numbers = [signal.SIGTERM, signal.SIGINT]
    hangup = getattr(signal, "SIGHUP", None)  # Windows has none
    return [*numbers, hangup] if hangup and signal.getsignal(hangup) is not signal.SIG_IGN else numbers


@contextmanager
def _announced(
    path: Path, facts: dict[str, Any], faces: Mapping[str, str]
) -> Iterator[Callable[[str], None]]:
    """Keep ``facts`` in a file that the command line finds the server by; yield what changes its URL."""
    scratch = path.with_suffix(".tmp")

    def announce(public: str) -> None:
        told = {**facts, **urls_of(faces, public), "public": public}
        scratch.write_bytes(msgspec.json.encode(told))
        scratch.replace(path)

    def move(public: str) -> None:
        try:
            announce(public)
        except OSError as error:
            log.warning("server.not_announced", reason=error.strerror, public=public)

    announce(facts["public"])
    try:
        yield move
    finally:
        path.unlink(missing_ok=True)
