"""What the server's own environment holds of what a model needs: exact pins, read from what is installed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from prism_core.environment import Pin


def closure(roots: Mapping[str, str], wheels: Mapping[str, str] | None = None) -> tuple[Pin, ...]:
    """Return the pins of installed distributions and of all that they require, by name.

    Parameters
    ----------
    roots
        Names of distributions, with extras where these are wanted (``uvicorn[standard]``), and
        why each is there. One that is not installed is left out.
    wheels
        Name -> path of the wheels that were made here.
    """
    pins: dict[str, Pin] = {}
    seen: set[tuple[str, str]] = set()
    waiting = deque((Requirement(root), reason) for root, reason in roots.items())
    while waiting:
        wanted, reason = waiting.popleft()
        name = canonicalize_name(wanted.name)
        extras = ("", *sorted(wanted.extras))
        if seen.issuperset((name, extra) for extra in extras) or (found := _installed(name)) is None:
            continue
        seen.update((name, extra) for extra in extras)
        pins.setdefault(name, Pin(name, found.version, reason, (wheels or {}).get(name, "")))
        waiting.extend((below, f"required by {name}") for below in required(found.requires or (), extras))
    return tuple(pins[name] for name in sorted(pins))


def required(
    requirements: Iterable[str], extras: Iterable[str] = ("",), environment: Mapping[str, str] | None = None
) -> Iterator[Requirement]:
    """Yield those of a distribution's requirements whose markers hold, here or in ``environment``."""
    for text in requirements:
        try:
            wanted = Requirement(text)
        except InvalidRequirement:  # old metadata has all kinds of things; nothing can be installed by it
            continue
        markers = [dict(environment or {}) | {"extra": extra} for extra in extras]
        if wanted.marker is None or any(wanted.marker.evaluate(marker) for marker in markers):
            yield wanted


def _installed(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None
