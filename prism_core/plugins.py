"""Find plugins, load them one at a time, index what they offer, explain conflicts.

The core's own features are plugins of the same kind, registered first and blockable by
name. A plugin that fails to load is reported and skipped; one that was asked for by name
stops the start.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from inspect import isasyncgenfunction, iscoroutinefunction
from typing import Any, TypeVar

import attrs
import pluggy

from prism_core import __version__, hookspecs
from prism_core.appliances import ImageBuilder
from prism_core.errors import PluginConflict, PluginError, PluginLoadError, UnknownPlugin
from prism_core.serving import Dialect, Frontend
from prism_core.specs import (
    Artifact,
    CacheBackend,
    Command,
    Guard,
    IsolationBackend,
    LinkProvider,
    Loader,
    Normalizer,
    Observer,
    Optimizer,
    RateBackend,
)

GROUP = "prism"

# Built-in plugin -> its module. "inputs" is all that a runtime needs of them.
BUILT_IN: Mapping[str, str] = {
    "inputs": "prism_core.inputs",
    "process": "prism_core.isolation.process",
    "memory": "prism_core.gateway.cache",
    "lan": "prism_core.links.lan",
}

# hook -> the record's attribute that must be unique among all plugins.
_KINDS: Mapping[str, str] = {
    "prism_loaders": "name",
    "prism_optimizers": "name",
    "prism_normalizers": "media_type",
    "prism_isolation_backends": "name",
    "prism_caches": "name",
    "prism_rate_stores": "name",
    "prism_link_providers": "name",
    "prism_guards": "name",
    "prism_observers": "name",
    "prism_dialects": "name",
    "prism_frontends": "name",
    "prism_commands": "name",
    "prism_image_builders": "name",
}

Record = TypeVar("Record")


@attrs.frozen
class LoadedPlugin:
    """One plugin: where it came from and what it offers, by hook.

    ``reference`` is ``name=module``: who has it need not scan what is installed.
    """

    name: str
    reference: str
    version: str
    distribution: str
    module: Any = attrs.field(repr=False)
    offers: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)


@attrs.frozen
class PluginSet:
    """All plugins that loaded, and an index of their records.

    ``owners`` maps (hook, record name) to the plugin's name. ``failures`` holds one error a
    plugin that did not load.
    """

    hooks: Any = attrs.field(repr=False)
    plugins: Mapping[str, LoadedPlugin]
    failures: Mapping[str, PluginError]
    records: Mapping[str, Mapping[str, Any]] = attrs.field(repr=False)
    owners: Mapping[tuple[str, str], str] = attrs.field(repr=False)

    @property
    def loaders(self) -> Mapping[str, Loader]:
        """Loaders by name."""
        return self.records["prism_loaders"]

    def optimizer(self, loader: str) -> Optimizer | None:
        """Return the first optimizer of a loader's models, None where nobody offers one."""
        offered = self.records.get("prism_optimizers", {}).values()
        return next((one for one in offered if one.loader == loader), None)

    @property
    def normalizers(self) -> Mapping[str, Normalizer]:
        """Normalizers by media type."""
        return self.records["prism_normalizers"]

    @property
    def isolation_backends(self) -> Mapping[str, IsolationBackend]:
        """Isolation backends by name."""
        return self.records["prism_isolation_backends"]

    @property
    def caches(self) -> Mapping[str, CacheBackend]:
        """Cache backends by name."""
        return self.records["prism_caches"]

    @property
    def rate_stores(self) -> Mapping[str, RateBackend]:
        """Stores of rate limits by name."""
        return self.records["prism_rate_stores"]

    @property
    def link_providers(self) -> Mapping[str, LinkProvider]:
        """Link providers by name."""
        return self.records["prism_link_providers"]

    @property
    def guards(self) -> Mapping[str, Guard]:
        """Guards by name."""
        return self.records["prism_guards"]

    @property
    def observers(self) -> Mapping[str, Observer]:
        """Observers by name."""
        return self.records["prism_observers"]

    @property
    def dialects(self) -> Mapping[str, Dialect]:
        """Dialects by name."""
        return self.records["prism_dialects"]

    @property
    def frontends(self) -> Mapping[str, Frontend]:
        """Frontends by name."""
        return self.records["prism_frontends"]

    @property
    def commands(self) -> Mapping[str, Command]:
        """Commands by name."""
        return self.records["prism_commands"]

    @property
    def image_builders(self) -> Mapping[str, ImageBuilder]:
        """What builds images, by name."""
        return self.records["prism_image_builders"]

    def owner(self, hook: str, record: str) -> str:
        """Return the name of the plugin that offers ``record`` through ``hook``."""
        return self.owners[hook, record]

    def runtime_plugins(self, loader: str, optimizer: Optimizer | None = None) -> tuple[str, ...]:
        """Return references of the plugins that a runtime of ``loader`` needs; a conversion needs more."""
        owners = [self.owner("prism_loaders", loader)]
        if optimizer:
            owners.append(self.owner("prism_optimizers", optimizer.name))
            owners.append(self.owner("prism_loaders", optimizer.into))
        inside = ("prism_normalizers", "prism_runtime_startup")
        helpers = (n for n, p in self.plugins.items() if any(p.offers.get(hook) for hook in inside))
        needed = dict.fromkeys(n for n in (*owners, *helpers) if n not in BUILT_IN)
        return tuple(self.plugins[name].reference for name in needed)

    def choose_loader(self, artifact: Artifact, name: str = "") -> Loader:
        """Return the loader called ``name``, or the one that recognises the artifact best.

        Raises
        ------
        UnknownPlugin
            If no loader is called ``name``.
        UnknownFormat
            If none recognises the artifact.
        """
        from prism_core.errors import UnknownFormat

        if name:
            return find(self.loaders, name, "loader")
        scored = [(loader.recognises(artifact), loader) for loader in self.loaders.values()]
        score, best = max(scored, key=lambda pair: pair[0], default=(0.0, None))
        if best is None or score <= 0:
            known = ", ".join(sorted({s for loader in self.loaders.values() for s in loader.suffixes}))
            raise UnknownFormat(
                f"No loader recognises {artifact.name!r}; the installed ones take: {known or 'nothing'}.",
                hint="Install the framework's plugin, or name one with --loader. `prism plugins` lists them.",
            )
        return best


def find(records: Mapping[str, Record], name: str, kind: str) -> Record:
    """Return ``records[name]``; `UnknownPlugin` with a did-you-mean where there is none."""
    if name in records:
        return records[name]
    close = difflib.get_close_matches(name, records, n=1)
    raise UnknownPlugin(
        f"There is no {kind} called {name!r}; known: {', '.join(sorted(records)) or 'none'}.",
        hint=f"Did you mean {close[0]!r}?" if close else "`prism plugins` lists what is installed.",
    )


def load_plugins(
    names: Sequence[str] | None = None,
    *,
    built_in: Iterable[str] = tuple(BUILT_IN),
    blocked: Iterable[str] = (),
    hooks: Collection[str] | None = None,
) -> PluginSet:
    """Load the built-in plugins, then the installed ones.

    Parameters
    ----------
    names
        Entry-point names to load, exactly these: one that is missing or fails raises. A name
        may be a reference ``name=module``. None: all that are installed, a failing one being
        reported in `PluginSet.failures`.
    built_in
        Which of the core's own plugins to load.
    blocked
        Names that are not loaded.
    hooks
        Which records to collect; None: all. What yields them may import what a process has no use for.

    Raises
    ------
    UnknownPlugin, PluginLoadError, PluginConflict
        For a plugin that was asked for by name.
    """
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    for name in blocked:
        manager.set_blocked(name)
    loading = _Loading(manager, hooks)
    for name in built_in:
        loading.add(name, partial(_load_built_in, name))
    for point in _chosen(names):
        try:
            loading.add(point.name, partial(_load, point))
        except PluginError as error:
            if names is not None:
                raise
            loading.failures[point.name] = error
    return loading.finish()


def _chosen(names: Sequence[str] | None) -> Iterable[EntryPoint]:
    if names is not None and all("=" in name for name in names):  # a scan takes 30 ms
        for name, _, module in (name.partition("=") for name in names):
            yield EntryPoint(name, module, GROUP)
        return
    installed = {point.name: point for point in entry_points(group=GROUP)}
    if names is None:
        yield from installed.values()
        return
    for name in names:
        if name not in BUILT_IN or name in installed:
            yield find(installed, name, "plugin")


def _load_built_in(name: str) -> tuple[Any, str, str, str]:
    module = BUILT_IN[name]
    return importlib.import_module(module), f"{name}={module}", __version__, "prism-core"


def _load(point: EntryPoint) -> tuple[Any, str, str, str]:
    module, distribution = point.load(), point.dist
    known = (distribution.version, distribution.name) if distribution else ("", "")
    return module, f"{point.name}={point.value}", *known


class _Loading:
    def __init__(self, manager: pluggy.PluginManager, hooks: Collection[str] | None) -> None:
        self.manager = manager
        self.hooks = _KINDS.keys() if hooks is None else hooks
        self.plugins: dict[str, LoadedPlugin] = {}
        self.failures: dict[str, PluginError] = {}
        self.records: dict[str, dict[str, Any]] = {hook: {} for hook in _KINDS}
        self.owners: dict[tuple[str, str], str] = {}

    def add(self, name: str, load: Callable[[], tuple[Any, str, str, str]]) -> None:
        """Load, register and index one plugin; on failure leave no trace of it."""
        if self.manager.is_blocked(name):
            return
        try:
            module, reference, version, distribution = load()
            _refuse_unfit_hooks(name, module)
            self.manager.register(module, name)
            self.manager.check_pending()
            offers = self._records_of(name, module)
        except PluginError:
            self._forget(name)
            raise
        except Exception as error:  # whatever third-party code raises at import is its fault, not ours
            self._forget(name)
            raise PluginLoadError(
                f"Plugin {name!r} cannot be loaded: {type(error).__name__}: {error}",
                hint=f"Repair or uninstall it, or start with --plugins and leave {name!r} out.",
            ) from error
        for hook, found in offers.items():
            self.records[hook].update(found)
            self.owners.update({(hook, key): name for key in found})
        shown = {hook: tuple(found) for hook, found in offers.items() if found}
        for hook in ("prism_inspect_artifact", "prism_fetch_artifact", "prism_runtime_startup"):
            if hasattr(module, hook):
                shown[hook] = (hook,)
        self.plugins[name] = LoadedPlugin(name, reference, version, distribution, module, shown)

    def _records_of(self, name: str, module: Any) -> dict[str, dict[str, Any]]:
        offers: dict[str, dict[str, Any]] = {}
        for hook, attribute in _KINDS.items():
            implementation = getattr(module, hook, None) if hook in self.hooks else None
            for record in (implementation() or ()) if implementation else ():
                key = getattr(record, attribute)
                taken = self.owners.get((hook, key))
                if taken or key in offers.get(hook, {}):
                    raise PluginConflict(
                        f"Plugins {taken or name!r} and {name!r} both offer {key!r} through {hook}.",
                        hint=f"Choose one with --plugins, for instance --plugins {name}.",
                    )
                offers.setdefault(hook, {})[key] = record
        return offers

    def _forget(self, name: str) -> None:
        if self.manager.has_plugin(name):
            self.manager.unregister(name=name)

    def finish(self) -> PluginSet:
        return PluginSet(self.manager.hook, self.plugins, self.failures, self.records, self.owners)


def _refuse_unfit_hooks(name: str, module: Any) -> None:
    """Refuse what pluggy takes without a word: it would never await the one, never call the other."""
    for hook in hookspecs.hook_names():
        function = getattr(module, hook, None)
        if iscoroutinefunction(function) or isasyncgenfunction(function):
            raise PluginLoadError(
                f"Hook {hook} of plugin {name!r} is `async def`; hooks are plain functions.",
                hint="Make it a plain `def` that yields a record; what the record opens may be asynchronous.",
            )
        if function is not None and not hasattr(function, "prism_impl"):
            raise PluginLoadError(
                f"Hook {hook} of plugin {name!r} is not marked with `@hookimpl`; it would never be called.",
                hint="from prism_core.plugin import hookimpl",
            )
