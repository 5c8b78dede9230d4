"""Who has the say about a version that comes as a bundle: its owner here, and only then the bundle.

What is for the owner alone is not in a bundle's `Config`, or it is left out here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

import attrs
import psutil
from packaging.utils import canonicalize_name

from prism_core.bundle import Bundle
from prism_core.environments.needs import OWNER, parsed_requirement
from prism_core.gateway.gauge import cores
from prism_core.gateway.views import UploadRequest
from prism_core.sizes import format_bytes

# Who says one of these says how many replicas there are, and the bundle says nothing of it.
COUNTS = ("replicas", "min_replicas", "max_replicas")
BOUNDED = (*COUNTS, "threads", "memory_limit_bytes")
TAKEN = (*COUNTS, "threads", "idle_unload_s", "timeout_s", "memory_limit_bytes", "batching", "description")
# Names that a bundle may hold, before they are shown or given to anybody.
_TRUSTED = re.compile(r"[\w.]{1,200}:[\w.]{1,200}")
_DISTRIBUTION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")
_VERSION = re.compile(r"[0-9][A-Za-z0-9.!+_-]{0,98}")
_PYTHON = re.compile(r"(\d\.\d{1,2})\.\d{1,3}\S{0,20}")


def stated(request: UploadRequest) -> set[str]:
    """Return the keys of a request that are not as they are where nobody says anything."""
    plain = UploadRequest()
    names = (field.name for field in attrs.fields(UploadRequest))
    return {name for name in names if getattr(request, name) != getattr(plain, name)}


@attrs.frozen
class Machine:
    """How much of this machine a bundle may ask for; whoever wants more says so.

    With more replicas and threads than there are ``processors`` a model gets no faster, and every other
    one slower. ``memory_bytes`` is what a replica may have for which nobody sets a limit: a bundle's may
    be less.
    """

    processors: int
    memory_bytes: int

    @classmethod
    def here(cls) -> Machine:
        """Return this machine."""
        return cls(cores(), psutil.virtual_memory().total // 2)

    def bounded(self, name: str, asked: int | None) -> int | None:
        """Return how much a bundle gets of what it asks for."""
        most = self.memory_bytes if name == "memory_limit_bytes" else self.processors
        return asked if asked is None else min(asked, most)


def merge(
    request: UploadRequest, said: Collection[str], bundle: Bundle, machine: Machine
) -> tuple[UploadRequest, tuple[str, ...]]:
    """Fill in from a bundle what a request does not say; return it with notes for the owner."""
    config, counted = bundle.config, any(name in said for name in COUNTS)
    taken = {
        name: getattr(config, name) for name in TAKEN if name not in said and not (counted and name in COUNTS)
    }
    bounded = {name: machine.bounded(name, taken[name]) for name in BOUNDED if name in taken}
    options = {name: value for name, value in config.options.items() if name != "trust"}
    merged = attrs.evolve(
        request,
        **(taken | bounded | _environment(request, bundle)),
        name=request.name or bundle.model,
        filename=bundle.artifact.name,
        loader=request.loader or bundle.loader,
        options=options | request.options,
        optimize=request.optimize or ("auto" if config.optimize == "auto" else ""),
    )
    cut = sorted(name for name, value in bounded.items() if value != taken[name])
    notes = [_note(name, taken[name], bounded[name] or 0) for name in cut]
    return merged, (*notes, *_unasked(request, bundle))


def _note(name: str, asked: int, given: int) -> str:
    flag = f"--{name.removesuffix('_bytes').replace('_', '-')}"
    if name == "memory_limit_bytes":
        return (
            f"The bundle's memory limit is {format_bytes(asked)}; it gets {format_bytes(given)}, half of "
            f"this machine's. Upload it with {flag} SIZE to give it more."
        )
    return (
        f"The bundle asks for {asked} {name}; it gets {given}, as many as this machine has processors. "
        f"Upload it with {flag} {asked} to give it more."
    )


def _environment(request: UploadRequest, bundle: Bundle) -> dict[str, Any]:
    """Return what a bundle says about packages, as keys of a request that says nothing of its environment.

    Versions alone: what is installed is for the artifact and its owner to say.
    """
    if request.environment:
        return {}
    python = _PYTHON.fullmatch(bundle.environment.python_version)
    named = _named(request)
    lock = [
        f"{one.name}=={one.version}"
        for one in bundle.environment.lock
        if _DISTRIBUTION.fullmatch(one.name)
        and _VERSION.fullmatch(one.version)
        and canonicalize_name(one.name) not in named
    ]
    return {
        "python": request.python or (python[1] if python else ""),
        "constraints": request.constraints or tuple(lock),
    }


def _named(request: UploadRequest) -> set[str]:
    """Return the distributions that the uploader names."""
    return {canonicalize_name(parsed_requirement(one).name) for one in request.requirements}


def _unasked(request: UploadRequest, bundle: Bundle) -> Iterator[str]:
    """Yield what its owner wanted installed there, which is not done here because a file says so."""
    named = _named(request)
    for one in bundle.environment.requirements[:100]:
        proper = one.reason == OWNER and _DISTRIBUTION.fullmatch(one.name)
        if proper and canonicalize_name(one.name) not in named:
            yield (
                f"Where it was frozen its owner asked for {one.name}. Here it is installed if the artifact "
                "itself asks for it; else name it in a file for --requirements."
            )


def trusted_names(bundle: Bundle) -> list[str]:
    """Return the names that a bundle calls trusted, as far as they may be shown."""
    return [name for name in bundle.trust[:100] if _TRUSTED.fullmatch(name)]
