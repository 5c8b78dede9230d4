"""The hooks, and their documentation. Nothing else.

All are plain functions: they describe, at boot or at upload, and are never called per
request. A hook that yields records may be a generator.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pluggy

from prism_core.appliances import ImageBuilder
from prism_core.serving import Dialect, Frontend
from prism_core.specs import (
    Artifact,
    CacheBackend,
    Command,
    Finding,
    Guard,
    IsolationBackend,
    LinkProvider,
    Loader,
    ModelEvent,
    Normalizer,
    Observer,
    Optimizer,
    RateBackend,
)

hookspec = pluggy.HookspecMarker("prism")
hookimpl = pluggy.HookimplMarker("prism")

# --- what a plugin offers: called at boot --------------------------------------------


@hookspec
def prism_loaders() -> Iterable[Loader]:  # type: ignore[empty-body]
    """Offer loaders: how artifacts of a framework become models.

    Called at boot and when a runtime starts; `Loader.load` runs in the runtime only::

        @hookimpl
        def prism_loaders():
            yield Loader("mean", suffixes=(".mean",), recognises=recognises, load=load)
    """


@hookspec
def prism_optimizers() -> Iterable[Optimizer]:  # type: ignore[empty-body]
    """Offer a faster form of a loader's models, for uploads that ask for one.

    Called at boot and where a model is converted; `Optimizer.convert` runs there only::

        @hookimpl
        def prism_optimizers():
            yield Optimizer("fast-mean", loader="mean", into="mean-table", convert=convert)
    """


@hookspec
def prism_normalizers() -> Iterable[Normalizer]:  # type: ignore[empty-body]
    """Offer media types: bytes and a signature become a batch, and back.

    Called when a runtime starts, and at boot for the list of media types::

        @hookimpl
        def prism_normalizers():
            yield Normalizer("application/x-reversed", normalize=read, encode=write)
    """


@hookspec
def prism_isolation_backends() -> Iterable[IsolationBackend]:  # type: ignore[empty-body]
    """Offer a place for replicas to run: a process, a container, a cluster.

    Called at boot; `IsolationBackend.open` when the gateway starts::

        @hookimpl
        def prism_isolation_backends():
            yield IsolationBackend("podman", open=open_podman, config=PodmanConfig, available=why_not)
    """


@hookspec
def prism_caches() -> Iterable[CacheBackend]:  # type: ignore[empty-body]
    """Offer a store for answers; a fault in it is a miss, never an error.

    Called at boot; opened when the gateway starts::

        @hookimpl
        def prism_caches():
            yield CacheBackend("redis", open=open_redis, config=RedisConfig)
    """


@hookspec
def prism_rate_stores() -> Iterable[RateBackend]:  # type: ignore[empty-body]
    """Offer a place where servers share how often callers have asked.

    Called at boot; the one that ``rates.store`` names is opened when the gateway starts::

        @hookimpl
        def prism_rate_stores():
            yield RateBackend("redis", open=open_rates, config=RedisConfig)
    """


@hookspec
def prism_link_providers() -> Iterable[LinkProvider]:  # type: ignore[empty-body]
    """Offer a way to make the public listener reachable.

    Called at boot; the one that ``link`` names is opened when the gateway starts::

        @hookimpl
        def prism_link_providers():
            yield LinkProvider("lan", open=open_lan)
    """


@hookspec
def prism_guards() -> Iterable[Guard]:  # type: ignore[empty-body]
    """Offer a check of a request's head, before its body is read: identity, rate, quota.

    Called at boot; opened when the gateway starts, then asked for every request::

        @hookimpl
        def prism_guards():
            yield Guard("office-hours", open=open_guard)
    """


@hookspec
def prism_observers() -> Iterable[Observer]:  # type: ignore[empty-body]
    """Offer a reader of call records; it gets them in batches, in the background.

    Called at boot; opened when the gateway starts::

        @hookimpl
        def prism_observers():
            yield Observer("statsd", open=open_statsd, config=StatsdConfig)
    """


@hookspec
def prism_dialects() -> Iterable[Dialect]:  # type: ignore[empty-body]
    """Offer routes on which predictions are asked for in another protocol, as quick as PRISM's own.

    Called at boot, and when a replica that is asked by HTTP itself starts::

        @hookimpl
        def prism_dialects():
            yield Dialect("oip", ROUTES, accept=MEDIA_TYPE, read=read, write=write, problem=problem)
    """


@hookspec
def prism_frontends() -> Iterable[Frontend]:  # type: ignore[empty-body]
    """Offer another face of the server: an ASGI application under a path, or a listener of its own.

    Called at boot; opened when the gateway starts::

        @hookimpl
        def prism_frontends():
            yield Frontend("oip", open=open_oip, path="/v2")
    """


@hookspec
def prism_commands() -> Iterable[Command]:  # type: ignore[empty-body]
    """Offer subcommands of ``prism``; each is built only when it is used.

    Called when the command line starts::

        @hookimpl
        def prism_commands():
            yield Command("bench", build=build_bench, help="Measure a served model.")
    """


@hookspec
def prism_image_builders() -> Iterable[ImageBuilder]:  # type: ignore[empty-body]
    """Offer to build images of versions, for ``prism export MODEL --image``.

    Called by that command::

        @hookimpl
        def prism_image_builders():
            yield ImageBuilder("podman", build=build, available=missing)
    """


# --- an artifact on its way in: called at upload ---------------------------------------


@hookspec(firstresult=True)
def prism_fetch_artifact(uri: str, directory: Path) -> Path | None:
    """Fetch ``uri`` into ``directory`` and return the path, or None for 'not mine'.

    Called by ``prism upload URI`` in the CLI's process; the first result wins.
    """


@hookspec
def prism_inspect_artifact(  # type: ignore[empty-body]
    artifact: Artifact, loader: Loader, trust: tuple[str, ...]
) -> Iterable[Finding]:
    """Look at an artifact before anything of it is launched, and say what you find.

    Runs in the gateway: it must not execute anything of the artifact. ``trust`` are the names
    that the owner admits for this artifact. An `ArtifactError` ends the upload as it is, any
    other exception counts as a blocking finding.
    """


# --- the gateway and the runtime in their lives ----------------------------------------


@hookspec
def prism_lifespan(gateway: Any) -> AbstractAsyncContextManager[None]:  # type: ignore[empty-body]
    """Return an async context manager: entered when the gateway has started, left before it stops."""


@hookspec
def prism_model_event(event: ModelEvent) -> None:
    """Hear of a change of state, after it has been stored. Be quick: it is called on the gateway's loop."""


@hookspec
def prism_runtime_startup(model: str, version: int, threads: int) -> None:
    """Prepare the runtime's process before the model is loaded."""


def hook_names() -> tuple[str, ...]:
    """Return the names of all hooks."""
    return tuple(name for name in globals() if name.startswith("prism_"))
