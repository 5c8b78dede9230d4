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
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import structlog
import uvicorn

from prism_core import __version__
from prism_core.errors import Overloaded
from prism_core.gateway.gateway import Gateway, open_gateway
from prism_core.plugins import PluginSet
from prism_core.protocols import PublicListener
from prism_core.rest.app import admin_app, public_app
from prism_core.rest.errors import problem_response
from prism_core.rest.listen import BACKLOG, address_of, listen
from prism_core.rest.onewrite import OneWriteProtocol
from prism_core.rest.predict import PredictFront
from prism_core.rest.shortcut import Heads, PredictProtocol
from prism_core.settings import Settings

log = structlog.get_logger(__name__)

ADMIN_HOST = "127.0.0.1"
# Long enough that a client with pauses keeps its connection; those are closed at once when the server stops.
KEEP_ALIVE_S = 75

# Objects between two looks of the garbage collector, and how many looks a generation lasts.
COLLECT_AFTER = (50_000, 20, 50)

Ready = Callable[[dict[str, Any]], None]


def run(settings: Settings, plugins: PluginSet, ready: Ready) -> None:
    """Serve until a signal comes, on uvloop where there is one."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(serve(settings, plugins, ready))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
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
    with (
        listen(settings.host, settings.port, "--port") as public,
        listen(ADMIN_HOST, settings.admin_port, "--admin-port") as admin,
    ):
        task = asyncio.current_task()
        assert task is not None
        interrupted = Interrupt(task)
        with _signals(interrupted):
            try:
                async with open_gateway(settings, plugins) as gateway:
                    await _serve(gateway, public, admin, ready, interrupted)
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


async def _serve(
    gateway: Gateway, public: socket.socket, admin: socket.socket, ready: Ready, interrupted: Interrupt
) -> None:
    apps = {public: public_app(gateway), admin: admin_app(gateway, interrupted.stopping)}
    async with _accepting(apps, interrupted.hurry, gateway.settings.limits.drain_s):
        await gateway.publish(PublicListener(*address_of(public)))
        facts = _facts(gateway, admin)
        with _announced(Path(facts["data_dir"]) / "server.json", facts):
            log.info("server.ready", **facts)
            ready(facts)
            _calm_collector()
            interrupted.serving = True
            await interrupted.stopping.wait()
        log.info("server.stopping")
    if interrupted.hurry.is_set():
        gateway.hurry()


def _calm_collector() -> None:
    # What has been imported stays; a request leaves nothing in cycles. With the collector's
    # default of a look at every 700 new objects it took a third of the gateway's time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


def _facts(gateway: Gateway, admin: socket.socket) -> dict[str, Any]:
    return {
        "public": gateway.public_url,
        "admin": f"http://{ADMIN_HOST}:{address_of(admin)[1]}",
        "data_dir": str(gateway.settings.data_dir.expanduser().resolve()),
        "pid": os.getpid(),
        "version": __version__,
    }


# --- accepting, and draining ------------------------------------------------------------


@asynccontextmanager
async def _accepting(
    apps: Mapping[socket.socket, Any], hurry: asyncio.Event, drain_s: float
) -> AsyncIterator[None]:
    """Answer requests on each listener with its application; at the end drain all of them together."""
    servers = [_server(app) for app in apps.values()]
    ticking = asyncio.create_task(_tick(servers))
    try:
        for server, listener in zip(servers, apps, strict=True):
            await server.startup(sockets=[listener])
        yield
    finally:
        await _drain(servers, hurry, drain_s)
        ticking.cancel()


def _server(app: Any) -> uvicorn.Server:
    config = uvicorn.Config(
        LastResort(app),
        http=_protocol(app),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nothing here believes a header about who is calling
        timeout_keep_alive=KEEP_ALIVE_S,
        backlog=BACKLOG,
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    server.servers = []
    return server


def _protocol(app: Any) -> Any:
    return partial(PredictProtocol, Heads(app)) if isinstance(app, PredictFront) else OneWriteProtocol


class LastResort:
    """Turns what an application lets escape into a problem document, unless its answer has begun."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one ASGI scope."""
        try:
            await self._app(scope, receive, send)
            return
        except asyncio.CancelledError:
            failure: Exception = Overloaded("The server is stopping.", details={"retry_after_s": 5})
        except Exception as error:
            failure = error
        status, headers, body = problem_response(failure)
        with suppress(RuntimeError):  # uvicorn's word for an answer that has begun; it closes the connection
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})


async def _tick(servers: Sequence[uvicorn.Server]) -> None:
    # uvicorn's own loop wakes ten times a second for each server; all it is needed for is the Date header.
    while True:
        for server in servers:
            await server.on_tick(0)
        await asyncio.sleep(1)


async def _drain(servers: Sequence[uvicorn.Server], hurry: asyncio.Event, drain_s: float) -> None:
    """Accept no more, close idle connections, wait for the answers that are due, at most ``drain_s``."""
    for server in servers:
        for accepting in server.servers:
            accepting.close()
        for connection in list(server.server_state.connections):
            connection.shutdown()
    if waiting := {task for server in servers for task in server.server_state.tasks}:
        answered: asyncio.Future[Any] = asyncio.gather(*waiting, return_exceptions=True)
        hurried: asyncio.Future[Any] = asyncio.ensure_future(hurry.wait())
        await asyncio.wait({answered, hurried}, timeout=drain_s, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        if not answered.done():
            log.warning("server.cut", requests=sum(not task.done() for task in waiting))
            answered.cancel()
            await asyncio.gather(answered, return_exceptions=True)
    for server in servers:
        for connection in list(server.server_state.connections):
            connection.transport.close()


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
def _announced(path: Path, facts: dict[str, Any]) -> Iterator[None]:
    """Keep ``facts`` in a file that the command line finds the server by."""
    scratch = path.with_suffix(".tmp")
    scratch.write_bytes(msgspec.json.encode(facts))
    scratch.replace(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
