"""The configuration of ``plugins.process``, and the bounds of a replica that follow from it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import attrs
import psutil
from msgspec import Meta

from prism_core.isolation.confine import Confines
from prism_core.isolation.limits import MB, Bounds, data_bytes
from prism_core.isolation.sandbox import Level
from prism_core.isolation.view import SYSTEM, beneath, interpreter_of, libraries
from prism_core.protocols import OPTIMIZE, ReplicaSpec
from prism_core.sizes import Bytes

# What a replica may print until the next look at its log, and then again.
LOG_BURST_BYTES = 64 * MB


@attrs.frozen
class ProcessConfig:
    """Configuration of ``plugins.process``.

    Parameters
    ----------
    zygote
        Fork replicas from a warm process where that is safe; false: always a fresh interpreter.
    zygote_idle_s
        How long the warm process of an environment of models' own is kept while no replica of it runs.
    launch_s
        How long warming the frameworks and forking may take.
    memory_share
        How much of the machine's memory a replica may reserve for which no ``memory_limit`` is set.
    tmp
        The size of a replica's own /tmp.
    max_threads
        How many threads a replica may have; one that has more is ended where it cannot be refused.
    optimize_disk
        How much a conversion may write.
    readable
        More files and directories that models may read.
    variables
        More environment variables that are passed on to models.
    """

    zygote: bool = True
    zygote_idle_s: Annotated[float, Meta(gt=0)] = 300.0
    launch_s: float = 60.0
    memory_share: Annotated[float, Meta(gt=0, le=1)] = 0.5
    tmp: Bytes = 64 * MB
    max_threads: Annotated[int, Meta(ge=16)] = 256
    optimize_disk: Bytes = 4096 * MB
    readable: tuple[Path, ...] = ()
    variables: tuple[str, ...] = ()


def bounds_of(spec: ReplicaSpec, config: ProcessConfig, level: Level, memory_bytes: int) -> Bounds:
    """Return what the replica of ``spec`` may take on a machine with so much memory."""
    default = 0 if level is Level.OFF else int(config.memory_share * memory_bytes)
    files = config.optimize_disk if spec.task == OPTIMIZE else LOG_BURST_BYTES
    return Bounds(
        data_bytes=data_bytes(spec.memory_limit_bytes, default),
        threads=0 if level is Level.OFF else config.max_threads,
        file_bytes=max(files, config.tmp),
        tmp_bytes=config.tmp,
    )


def confines_of(spec: ReplicaSpec, config: ProcessConfig, level: Level, memory_bytes: int) -> Confines:
    """Return how the replica of ``spec`` is shut in: it writes only where its task is to write something."""
    return Confines(
        level,
        bounds_of(spec, config, level, memory_bytes),
        own=(str(spec.artifact), str(spec.manifest), str(spec.directory), *environment_of(spec)),
        write=(str(spec.directory),) if spec.task == OPTIMIZE else (),
        private=tuple(map(str, spec.private)),
        readable=_readable(config),
    )


def outset_of(spec: ReplicaSpec, config: ProcessConfig) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what an interpreter that the server made an environment for sees, and may change, as it begins.

    What packages import runs in it before it is a replica, or in what replicas are forked from: so it sees
    what all replicas of its environment see. Of the server's own, () stands for everything.
    """
    own = environment_of(spec)
    if not own:
        return (), ()
    models = (str(spec.artifact.parent), str(spec.directory.parent))
    write = models[1:] if spec.task == OPTIMIZE else ()
    return (*SYSTEM, *libraries(os.environ), *interpreter_of(own[0]), *models, *_readable(config)), write


def _readable(config: ProcessConfig) -> tuple[str, ...]:
    return tuple(str(path.expanduser().absolute()) for path in config.readable)


def environment_of(spec: ReplicaSpec) -> tuple[str, ...]:
    """Return the directory of the replica's environment where it lies among the server's own, hidden ones."""
    root = str(Path(spec.python).parent.parent)
    hidden = any(beneath(root, str(one)) and root != str(one) for one in spec.private)
    return (root,) if hidden and spec.python != sys.executable else ()


def machine_memory_bytes() -> int:
    """Return how much memory this machine has."""
    return int(psutil.virtual_memory().total)
