"""An honest gateway in memory: the real registry's errors, store and events; models that are told of only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx
import msgspec
import pytest

from prism_core.bundle import Bundle, Config, FrozenArtifact, FrozenEnvironment
from prism_core.gateway.auditing import open_audit
from prism_core.gateway.callers.door import Door
from prism_core.gateway.callers.limiter import Limiter
from prism_core.gateway.callers.link_door import LinkDoor
from prism_core.gateway.callers.link_table import LinkTable
from prism_core.gateway.callers.tally import Tally
from prism_core.gateway.events import Events
from prism_core.gateway.registry import Registry
from prism_core.gateway.store import Staged, Store
from prism_core.gateway.views import ModelInfo, UploadRequest, VersionInfo
from prism_core.plugins import PluginSet, load_plugins
from prism_core.rest.app import admin_app, public_app
from prism_core.serving import Frontend
from prism_core.settings import LimitSettings, Settings
from prism_core.types import Signature, TensorSpec

TOKEN = "a-token-of-tests"
PUBLIC_URL = "http://prism.test:8000"

CHURN = Signature(
    inputs=(
        TensorSpec("tenure", "INT64", (-1,)),
        TensorSpec("plan", "BYTES", (-1,), categories=("basic", "plus")),
    ),
    outputs=(TensorSpec("predictions", "INT64", (-1,)), TensorSpec("probabilities", "FP64", (-1, 2))),
    default_outputs=("predictions",),
    columnar=True,
    classes=(0, 1),
)
IRIS = Signature(
    inputs=(TensorSpec("X", "FP64", (-1, 4)),), outputs=(TensorSpec("predictions", "INT64", (-1,)),)
)


def version_info(model: str, version: int, **changes: Any) -> VersionInfo:
    """Return a version that is ready, with secrets where a leak would show them."""
    info = VersionInfo(
        model=model,
        version=version,
        state="READY",
        digest="sha256:00",
        size_bytes=1,
        loader="sklearn",
        artifact="secret-artifact.pkl",
        created=1.0,
        options={"secret-option": 1},
        isolation="process",
        aliases=[],
        signature=msgspec.to_builtins(CHURN),
        warnings=["secret-warning"],
        error="secret-error at /home/secret",
        url=f"{PUBLIC_URL}/model/{model}/predict",
        replicas=[{"replica": f"{model}-{version}-0", "pid": 4242, "state": "READY"}],
    )
    return attrs.evolve(info, **changes)


@attrs.define
class FakeGateway:
    """What REST sees of a gateway. ``fails`` is what it raises, ``calls`` are the changes made."""

    settings: Settings
    plugins: PluginSet
    store: Store
    events: Events
    service: Any = attrs.field(factory=object)
    token: str = TOKEN
    public_url: str = PUBLIC_URL
    tls: dict[str, str] | None = None
    faces: dict[str, str] = attrs.field(factory=dict)
    registry: Registry = attrs.field(factory=lambda: Registry(lambda event: None))
    known: dict[str, ModelInfo] = attrs.field(factory=dict)
    calls: list[tuple[Any, ...]] = attrs.field(factory=list)
    fails: Exception | None = None
    said: frozenset[str] = frozenset()
    weights: bytes = b"weights"
    uploading: asyncio.Event = attrs.field(factory=asyncio.Event)
    hold: asyncio.Event | None = None
    audit: Any = None
    settled: asyncio.Event = attrs.field(factory=asyncio.Event)
    door: Door = attrs.field(factory=Door)
    link_door: LinkDoor = attrs.field(factory=lambda: LinkDoor(LinkTable(uses=Tally()), Limiter()))
    frontends: list[tuple[Frontend, Any]] = attrs.field(factory=list)
    links: Any = None
    unlocking: Any = None
    tokens: dict[str, tuple[str, str]] = attrs.field(factory=dict)
    publishing: Any = None

    async def scrape(self) -> tuple[bytes, str]:
        return b"prism_up 1\n", "text/plain; version=0.0.4; charset=utf-8"

    def models(self) -> list[ModelInfo]:
        if self.fails:
            raise self.fails
        return list(self.known.values())

    def model(self, model: str) -> ModelInfo:
        if model not in self.known:
            raise self.registry.explain(model)
        return self.known[model]

    def version(self, model: str, version: int | None) -> VersionInfo:
        return next(v for v in self.model(model).versions if version in (None, v.version))

    async def show(self, model: str, version: int | None = None) -> VersionInfo:
        return self.version(model, version)

    def stage(self, name: str) -> AbstractAsyncContextManager[Staged]:
        return self.store.stage()

    async def upload(
        self,
        request: UploadRequest,
        staged: Staged,
        progress: Callable[[str, Mapping[str, Any]], None],
        said: Collection[str] = (),
    ) -> VersionInfo:
        self.said = frozenset(said)
        progress("store", {"size_bytes": staged.size_bytes})
        self.uploading.set()
        if self.hold:
            await self.hold.wait()
        await self._change("upload", request.model, await staged.finish())
        return version_info(request.model, 1)

    @asynccontextmanager
    async def frozen(self, model: str, version: int) -> AsyncIterator[tuple[Bundle, Path]]:
        if self.fails:
            raise self.fails
        path = self.settings.data_dir / "artifact"
        path.write_bytes(self.weights)
        artifact = FrozenArtifact("churn.pkl", "sha256:00", len(self.weights), False)
        environment = FrozenEnvironment("3.11.7")
        yield Bundle(model, version, 1.0, artifact, "sklearn", "prism-sklearn 0", Config(), environment), path

    async def set_alias(self, model: str, alias: str, version: int, *, keep_warm_s: float = 0.0) -> None:
        await self._change("set_alias", model, alias, version, *([keep_warm_s] if keep_warm_s else ()))

    async def remove_alias(self, model: str, alias: str) -> None:
        await self._change("remove_alias", model, alias)

    async def rollback(self, model: str, *, keep_warm_s: float = 0.0) -> VersionInfo:
        await self._change("rollback", model, *([keep_warm_s] if keep_warm_s else ()))
        return self.version(model, None)

    async def stop(self, model: str, version: int | None = None) -> None:
        await self._change("stop", model, version)

    async def start(self, model: str, version: int | None = None) -> None:
        await self._change("start", model, version)

    async def remove(self, model: str, version: int | None = None) -> None:
        await self._change("remove", model, version)

    async def logs(
        self, model: str, version: int | None = None, *, tail: int = 100, follow: bool = False
    ) -> AsyncIterator[str]:
        self.calls.append(("logs", model, version, tail, follow))
        yield "loaded\n"
        yield "ready"
        if follow:
            await asyncio.Event().wait()

    async def _change(self, *call: Any) -> None:
        self.calls.append(call)
        if self.fails:
            raise self.fails
        if call[0] != "upload":
            self.model(call[1])


async def _stored(event: Any) -> None:
    return None


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[FakeGateway]:
    settings = Settings(data_dir=tmp_path, limits=LimitSettings(max_body=1000, max_artifact=1000))
    events = Events(_stored, lambda event: None)
    delivering = asyncio.create_task(events.run())
    store = Store(tmp_path / "artifacts", settings.limits.max_artifact)
    gateway = FakeGateway(settings, load_plugins([], built_in=()), store, events)
    churn = [version_info("churn", 1, state="STOPPED"), version_info("churn", 2), version_info("churn", 3)]
    gateway.known["churn"] = ModelInfo("churn", {"latest": 3, "champion": 2}, churn, churn[0].url)
    iris = version_info("iris", 1, signature=msgspec.to_builtins(IRIS))
    gateway.known["iris"] = ModelInfo("iris", {"latest": 1}, [iris], iris.url)
    gateway.settled.set()
    async with open_audit(tmp_path) as gateway.audit:
        yield gateway
    delivering.cancel()


@pytest.fixture
def with_model(gateway: FakeGateway) -> Callable[..., VersionInfo]:
    """Add a model of one version."""

    def add(name: str, aliases: dict[str, int] | None = None, **changes: Any) -> VersionInfo:
        info = version_info(name, 1, **changes)
        gateway.known[name] = ModelInfo(name, {"latest": 1} if aliases is None else aliases, [info], info.url)
        return info

    return add


@pytest.fixture
def stopping() -> asyncio.Event:
    return asyncio.Event()


def client_of(app: Any, **headers: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://prism.test", headers=headers)


@pytest.fixture
async def public(gateway: FakeGateway) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(public_app(gateway)) as client:
        yield client


@pytest.fixture
async def admin(gateway: FakeGateway, stopping: asyncio.Event) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(admin_app(gateway, stopping), Authorization=f"Bearer {TOKEN}") as client:
        yield client


@pytest.fixture
def client_of_admin(gateway: FakeGateway) -> Callable[..., httpx.AsyncClient]:
    """Open a client of the admin application with other headers."""
    return lambda **headers: client_of(admin_app(gateway), **headers)


@pytest.fixture
async def stranger(client_of_admin: Callable[..., httpx.AsyncClient]) -> AsyncIterator[httpx.AsyncClient]:
    """An admin client without a token."""
    async with client_of_admin() as client:
        yield client


@pytest.fixture
def subscribed(gateway: FakeGateway) -> Callable[[], Awaitable[None]]:
    """Wait until somebody listens to the events."""

    async def wait() -> None:
        while not gateway.events._listeners:
            await asyncio.sleep(0)

    return wait


class Wire:
    """One request to an ASGI application, driven message by message."""

    def __init__(self, app: Any, method: str, path: str, query: str = "", **headers: str) -> None:
        self.sent: list[dict[str, Any]] = []
        self.told = asyncio.Event()
        self._coming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        named = {"authorization": f"Bearer {TOKEN}"} | {k.replace("_", "-"): v for k, v in headers.items()}
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "scheme": "http",
            "http_version": "1.1",
            "headers": [(k.encode(), v.encode()) for k, v in named.items()],
            "client": None,
            "server": None,
            "asgi": {"version": "3.0"},
        }
        self.task = asyncio.create_task(app(scope, self._coming.get, self._send))

    async def _send(self, message: Any) -> None:
        self.sent.append(message)
        self.told.set()

    def body(self, data: bytes, *, more: bool = True) -> None:
        self._coming.put_nowait({"type": "http.request", "body": data, "more_body": more})

    def hang_up(self) -> None:
        self._coming.put_nowait({"type": "http.disconnect"})

    async def until(self, text: bytes) -> None:
        """Wait until the answer holds ``text``."""
        while text not in self.content:
            self.told.clear()
            await self.told.wait()

    @property
    def content(self) -> bytes:
        return b"".join(m.get("body", b"") for m in self.sent)

    @property
    def status(self) -> int | None:
        return self.sent[0]["status"] if self.sent else None


@pytest.fixture
def wire(gateway: FakeGateway, stopping: asyncio.Event) -> Callable[..., Wire]:
    """Begin a request to the admin application that the test drives message by message."""
    app = admin_app(gateway, stopping)
    return lambda *request, **headers: Wire(app, *request, **headers)


@pytest.fixture
def problem_of() -> Callable[[httpx.Response], dict[str, Any]]:
    return _problem_of


def _problem_of(response: httpx.Response) -> dict[str, Any]:
    """Return the problem document of a refused request, checked in what all of them share."""
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["status"] == response.status_code
    assert {"type", "title", "code", "detail", "hint", "details"} <= document.keys()
    return document
