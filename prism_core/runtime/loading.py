"""Bring a replica's model into this process: plugins, loader, session, warm-up."""

from __future__ import annotations

import importlib
import logging
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import attrs
import msgspec

from prism_core.errors import ModelLoadFailed, PrismError
from prism_core.manifest import Manifest
from prism_core.plugins import PluginSet, find
from prism_core.protocols import BaseModel, ReplicaSpec
from prism_core.runtime.rehearsal import normalizers_of, plugins_of
from prism_core.runtime.session import Session
from prism_core.specs import Artifact, Loader

log = logging.getLogger("prism.runtime")


@attrs.frozen(eq=False)
class Loaded:
    """A loaded model and what it was loaded with."""

    session: Session
    plugins: PluginSet
    loader: Loader
    options: Any


def load(spec: ReplicaSpec) -> tuple[Session, tuple[str, ...], str]:
    """Load plugins and model as ``spec`` says and warm the model up.

    Returns
    -------
    tuple
        The session, warnings for the owner, and the framework's name and version.

    Raises
    ------
    PrismError
        With what failed; other exceptions of a loader become `ModelLoadFailed`.
    """
    loaded = load_cold(spec)
    cold = loaded.session.warm_up()
    warnings = (*loaded.session.model.warnings, *((cold,) if cold else ()))
    return loaded.session, warnings, _framework(loaded.loader)


def load_cold(spec: ReplicaSpec) -> Loaded:
    """Load plugins and model as ``spec`` says; raises as `load` does."""
    manifest = Manifest.read(spec.manifest)
    plugins = plugins_of(spec.plugins)
    loader = find(plugins.loaders, manifest.loader, "loader")
    plugins.hooks.prism_runtime_startup(model=manifest.model, version=manifest.version, threads=spec.threads)
    options = _options(manifest, loader)
    artifact = Artifact(spec.artifact, manifest.artifact, spec.limits)
    model = _load_model(artifact, loader, options)
    session = Session(manifest, model, normalizers_of(spec.plugins), spec.limits)
    return Loaded(session, plugins, loader, options)


def _options(manifest: Manifest, loader: Loader) -> Any:
    try:
        return msgspec.convert(manifest.options, loader.options)
    except msgspec.ValidationError as error:
        raise ModelLoadFailed(f"The options of loader {loader.name!r} are wrong: {error}.") from error


def _load_model(artifact: Artifact, loader: Loader, options: Any) -> BaseModel:
    for module in loader.requires[:1]:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise ModelLoadFailed(
                f"Loader {loader.name!r} needs {module!r}, which cannot be imported: {error}",
                hint=f"Install {module!r} in the model's environment.",
            ) from error
    try:
        return loader.load(artifact, options)
    except PrismError:
        raise
    except Exception as error:
        log.exception("model.load_failed")
        raise ModelLoadFailed(
            f"Loader {loader.name!r} could not load {artifact.name!r}: {type(error).__name__}: {error}",
            hint="The replica's log has the trace; is the file whole, and made for this framework?",
        ) from error


def _framework(loader: Loader) -> str:
    for module in loader.requires[:1]:
        try:
            return f"{module} {sys.modules[module].__version__}"
        except (AttributeError, KeyError):
            try:
                return f"{module} {version(module)}"
            except PackageNotFoundError:
                return module
    return ""
