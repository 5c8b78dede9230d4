"""Freeze a version into a bundle, and take a bundle for what it holds.

A bundle comes from anybody. What it says of the model is used: loader, options, batching, limits. What
is for the owner of this server to say is not: which names in a file are trusted, behind which wall
it runs, what stays in memory, how much of the machine it gets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import msgspec
from packaging.utils import canonicalize_name

from prism_core import bundle as bundles
from prism_core.bundle import Bundle, Config, FrozenArtifact, FrozenEnvironment, Locked
from prism_core.environment import Environment
from prism_core.errors import ArtifactError, UnknownPlugin, UnsafeArtifact
from prism_core.gateway.merging import Machine, merge, stated, trusted_names
from prism_core.gateway.store import HEAD_BYTES, Kept, Staged, Store
from prism_core.gateway.unpack import Bounds, check_size, opened, unpack
from prism_core.gateway.views import UploadRequest
from prism_core.limits import Limits
from prism_core.manifest import Manifest
from prism_core.plugins import PluginSet
from prism_core.types import Signature

CHANGED = (
    "The model has other inputs or outputs here than where it was frozen: `prism show` has them, and the "
    "bundle's prism-bundle.json those."
)


# --- out ----------------------------------------------------------------------------------


def frozen(
    manifest: Manifest,
    signature: Signature | None,
    artifact: Path,
    plugins: PluginSet,
    environment: Environment,
) -> Bundle:
    """Return what a bundle says of a version whose artifact lies at ``artifact``."""
    plugin = plugins.plugins.get(manifest.plugin)
    # PRISM's own packages are those of the server that takes the bundle.
    own = {canonicalize_name(one.distribution) for one in plugins.plugins.values()} | {"prism-core"}
    config = {field.name: getattr(manifest, field.name) for field in attrs.fields(Config)}
    options = {name: value for name, value in manifest.options.items() if name != "trust"}
    return Bundle(
        model=manifest.model,
        version=manifest.version,
        created=manifest.created,
        artifact=FrozenArtifact(manifest.artifact, manifest.digest, manifest.size_bytes, artifact.is_dir()),
        loader=manifest.loader,
        plugin=f"{plugin.distribution} {plugin.version}" if plugin else manifest.plugin,
        config=Config(**(config | {"options": options})),
        environment=FrozenEnvironment(
            python_version=environment.python_version,
            lock=tuple(Locked(pin.name, pin.version) for pin in environment.pins if pin.name not in own),
            requirements=environment.requirements,
        ),
        trust=manifest.trust,
        signature=msgspec.to_builtins(signature) if signature else None,
    )


# --- in -----------------------------------------------------------------------------------

Keep = Callable[[], Awaitable[Kept]]


@attrs.frozen
class Delivery:
    """What came with an upload, and how the artifact of it gets into the store.

    ``bundle`` is None where an artifact came alone. ``notes`` are what its owner should know.
    """

    request: UploadRequest
    keep: Keep
    bundle: Bundle | None = None
    notes: tuple[str, ...] = ()

    def explained(self, error: UnsafeArtifact) -> UnsafeArtifact:
        """Return the refusal, with what the bundle says about trusted names: it is no reason to let it in."""
        names = trusted_names(self.bundle) if self.bundle else []
        if names:
            error.details["trusted_where_frozen"] = names
            error.hint += (
                f" Where it was frozen its owner trusted {', '.join(names)}; here that is for you to say."
            )
        return error

    def told(self, signature: Signature | None) -> list[str]:
        """Return the notes, with one more where the model takes or answers something else than there."""
        there = self.bundle.signature if self.bundle else None
        here = msgspec.json.decode(msgspec.json.encode(signature)) if signature else None
        if there and here and _tensors(there) != _tensors(here):
            return [*self.notes, CHANGED]
        return list(self.notes)


def _tensors(signature: dict[str, Any]) -> list[list[tuple[Any, ...]]]:
    """Return names, datatypes and shapes, which any PRISM tells alike."""
    sides = (signature.get("inputs"), signature.get("outputs"))
    tensors = [side if isinstance(side, list) else [] for side in sides]
    keys = ("name", "datatype", "shape")
    return [
        [tuple(one.get(key) for key in keys) for one in side if isinstance(one, dict)] for side in tensors
    ]


async def delivered(
    store: Store, plugins: PluginSet, request: UploadRequest, said: Collection[str], staged: Staged
) -> Delivery:
    """Look at what has been staged: an artifact, or a bundle with one in it.

    Parameters
    ----------
    said
        The keys of the request that its sender wrote: they win over what the bundle says.

    Raises
    ------
    ArtifactError
        If it is a bundle that cannot be read.
    UnknownPlugin
        If it wants a loader that is not here.
    """
    if request.directory or not bundles.is_bundle(staged.head):
        return Delivery(request, lambda: store.keep(staged, directory=request.directory))
    await staged.finish()
    return await asyncio.to_thread(_opened, store, plugins, request, said, staged.path)


def found(store: Store, plugins: PluginSet, request: UploadRequest, path: Path) -> Delivery:
    """Look at a file or directory of this machine as `delivered` does; raises as that."""
    if path.is_file():
        with path.open("rb") as file:
            if bundles.is_bundle(file.read(HEAD_BYTES)):
                return _opened(store, plugins, request, stated(request), path)
    return Delivery(request, lambda: store.keep_path(path))


def _opened(
    store: Store, plugins: PluginSet, request: UploadRequest, said: Collection[str], path: Path
) -> Delivery:
    bundle = read(path, store.limits)
    if not request.loader and bundle.loader not in plugins.loaders:
        raise UnknownPlugin(
            f"The bundle was made with loader {bundle.loader!r:.80} of {bundle.plugin!r:.80}, "
            "which is not installed here.",
            hint="Install its plugin where the server runs, or name another with --loader; "
            "`prism plugins` lists them.",
        )
    merged, notes = merge(request, said, bundle, Machine.here())
    make = partial(_unpacked, path, bundle, store.max_bytes, store.limits)
    return Delivery(merged, lambda: store.keep_made(make, bundle.artifact.digest), bundle, notes)


def read(path: Path, limits: Limits = Limits()) -> Bundle:
    """Return what a bundle says of itself; raises `ArtifactError` if that cannot be read."""
    try:
        with opened(path, "r:") as tar:
            member = tar.next()
            if member is None or member.size > bundles.MAX_HEAD_BYTES or not member.isreg():
                raise bundles.damaged("what it says of itself is too long")
            said = tar.extractfile(member)
            assert said is not None
            bundle = bundles.decode(said.read())
    except ArtifactError as error:
        error.hint = error.hint if "Upgrade" in error.hint else bundles.AGAIN
        raise
    if not bundle.artifact.name.isprintable() or len(bundle.artifact.name) > 255:
        raise bundles.damaged("the name of its artifact is none")
    limits.check_depth(bundle.config.options)
    return bundle


def _unpacked(path: Path, bundle: Bundle, max_bytes: int, limits: Limits, content: Path) -> None:
    """Unpack the artifact of a bundle to ``content``."""
    check_size(bundle.artifact.size_bytes, max_bytes)
    everything = content.with_name("bundle")
    everything.mkdir()
    try:
        with opened(path, "r:") as tar:
            tar.next()
            tar.members.clear()  # type: ignore[attr-defined]  # it was read already
            unpack(tar, everything, Bounds(max_bytes, limits, None))
    except ArtifactError as error:
        error.hint = bundles.AGAIN
        raise
    found = everything / bundles.ARTIFACT
    if [one.name for one in everything.iterdir()] != [bundles.ARTIFACT]:
        raise bundles.damaged("it holds more than one artifact, or none")
    if found.is_dir() != bundle.artifact.directory:
        raise bundles.damaged("its artifact is not of the kind that it names")
    found.rename(content)
