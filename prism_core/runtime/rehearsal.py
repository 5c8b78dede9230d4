"""Do once, before replicas are forked, what each of them would do for the first time.

Libraries look for their own plugins, compile patterns and build caches when they are first
used. After a rehearsal with a small model all replicas share that: they start sooner, and
its pages are not theirs.
"""

from __future__ import annotations

import functools
import json
import logging
import os
from collections.abc import Mapping
from typing import Any

import msgspec

from prism_core import wire
from prism_core.manifest import Manifest
from prism_core.plugins import PluginSet, load_plugins
from prism_core.protocols import BaseModel, ReplicaSpec
from prism_core.runtime.session import JSON, Session
from prism_core.specs import Loader, Normalizer
from prism_core.types import Batch

# What a runtime has a use for. Faces of a server and commands are not imported here.
HOOKS = frozenset({"prism_loaders", "prism_optimizers", "prism_normalizers", "prism_dialects"})

log = logging.getLogger("prism.runtime")


@functools.cache
def plugins_of(references: tuple[str, ...]) -> PluginSet:
    """Return the plugins of a runtime; loaded once, also for all replicas that are forked later."""
    return load_plugins(references, built_in=("inputs",), hooks=HOOKS)


@functools.cache
def normalizers_of(references: tuple[str, ...]) -> Mapping[str, Normalizer]:
    """Return their normalizers that work here, by media type; looked for once, as well."""
    return {name: one for name, one in plugins_of(references).normalizers.items() if not one.available()}


def rehearse(spec: ReplicaSpec) -> None:
    """Load and ask the small models of the loaders whose modules ``spec`` has warmed.

    A plugin may have another loader, of a framework that these replicas do without.
    """
    normalizers = normalizers_of(spec.plugins)
    for loader in plugins_of(spec.plugins).loaders.values():
        if not set(loader.requires) <= set(spec.warm):
            continue
        for model in loader.rehearse():
            _perform(loader, model, normalizers)


def _perform(loader: Loader, model: BaseModel, normalizers: Mapping[str, Normalizer]) -> None:
    msgspec.convert({}, loader.options)
    session = Session(Manifest("rehearsal", 1, loader.name, "", "", "", 0, 0.0), model, normalizers)
    cold = session.warm_up()
    if cold:
        log.warning("rehearsal.failed loader=%s: %s", loader.name, cold)
    example = model.example()
    if example is not None and not cold:
        session.write(session.execute([session.read(memoryview(_body(example)), JSON)]))
    wire.encode(wire.Ready(os.getpid(), msgspec.to_builtins(model.signature), [], 0.0, ""), 0)


def _body(example: Batch) -> bytes:
    tensors: dict[str, Any] = {name: tensor.tolist() for name, tensor in example.tensors.items()}
    return json.dumps({"input": tensors.popitem()[1]} if len(tensors) == 1 else {"inputs": tensors}).encode()
