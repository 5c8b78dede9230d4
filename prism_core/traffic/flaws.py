"""What is wrong with a route by itself, whatever models there are: each flaw with its key.

Kinds and bounds of single values are kept by their types; here is what concerns several of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import attrs

from prism_core.traffic.sticky import key_of
from prism_core.traffic.targets import Target

if TYPE_CHECKING:
    from prism_core.traffic.route import Route

Key = tuple[str | int, ...]

_NAME = r"[a-z0-9][a-z0-9._-]{0,63}"
# Each is looked at with each request, or kept in memory for each gateway.
MAX_ENTRIES = 100
# What models and aliases may be called, and what a route may call a model.
MODEL = re.compile(_NAME)
_REFERENCE = re.compile(rf"{_NAME}(@{_NAME}|/[1-9][0-9]*)?")


@attrs.frozen
class Flaw:
    """One thing that is wrong: the key below the route, what, and what to do."""

    key: Key
    message: str
    hint: str = ""


def flaws_of(route: Route) -> Iterator[Flaw]:
    """Yield everything that is wrong with a route."""
    for name in ("rules", "split", "shadow", "fallback"):
        if (count := len(getattr(route, name))) > MAX_ENTRIES:
            yield Flaw((name,), f"there may be {MAX_ENTRIES} entries, and there are {count}.")
    yield from _endless(route, ())
    for key, target in route.led:
        yield from _of_target(key, target)
    yield from _of_split(route)
    yield from _of_sticky(route.sticky)
    yield from _of_fallbacks(route)
    yield from _of_comparing(route)


def _endless(value: Any, key: Key) -> Iterator[Flaw]:
    """Yield numbers that are not finite: a route is stored as JSON, which has none."""
    if isinstance(value, float) and not math.isfinite(value):
        yield Flaw(key, f"expected a number, got {value}.")
    elif attrs.has(type(value)):
        for field in attrs.fields(type(value)):
            yield from _endless(getattr(value, field.name), (*key, field.name))
    elif isinstance(value, tuple | list | dict):
        for name, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _endless(one, (*key, name))


def _of_target(key: Key, target: Target) -> Iterator[Flaw]:
    version, model = target.version, target.model
    if isinstance(version, int) and version < 1:
        yield Flaw((*key, "version"), f"versions are counted from 1, got {version}.")
    elif isinstance(version, str) and version.isdecimal():
        yield Flaw(
            (*key, "version"), f"{version!r} is text, and no alias.", f"Write {version} without quotes."
        )
    elif isinstance(version, str) and not MODEL.fullmatch(version):
        yield Flaw((*key, "version"), f"{version!r} is neither a number nor an alias.")
    elif model and not _REFERENCE.fullmatch(model):
        yield Flaw((*key, "model"), f"{model!r} is no model.", "Write rf, rf@champion or rf/3.")


def _of_split(route: Route) -> Iterator[Flaw]:
    if not route.split:
        return
    if route.ensemble:
        yield Flaw(("ensemble",), "a route has either a split or an ensemble.", "Take one of them away.")
    if not any(share.weight for share in route.split):
        yield Flaw(("split",), "no share has a weight above 0, so nobody would answer.")
    yield from _twice("split", route.split)


def _of_sticky(sticky: str) -> Iterator[Flaw]:
    try:
        key_of(sticky)
    except ValueError as error:
        yield Flaw(("sticky",), str(error))


def _of_fallbacks(route: Route) -> Iterator[Flaw]:
    yield from _twice("fallback", tuple(one for one in route.fallback if one.value is None))
    answered = False
    for place, one in enumerate(route.fallback):
        if answered:
            yield Flaw(("fallback", place), "nobody ever comes here: the value before it always answers.")
        answered = answered or one.value is not None
    first = _only_one(route)
    for place, one in enumerate(route.fallback):
        if one.value is None and first and one.reference("") == first.reference(""):
            yield Flaw(("fallback", place), "it is the one that is asked first.", "Name another version.")


def _only_one(route: Route) -> Target | None:
    """Return what is asked first of every request, None where that depends."""
    # Two shares, one of them without a weight, are a roll-out at its beginning or its end, or what a guard
    # has made of it: the same fallbacks are right for all of it.
    if route.rules or route.ensemble or len(route.split) > 1:
        return None
    return route.split[0] if route.split else Target("latest")


def _of_comparing(route: Route) -> Iterator[Flaw]:
    """Yield what is wrong with whatever compares the shares of the split."""
    asked = {"bandit": route.bandit, "experiment": route.experiment, "guard": route.guard}
    if not route.split:
        for name in (name for name, value in asked.items() if value):
            yield Flaw((name,), "it is about the shares of a split, and there is none.")
    elif route.experiment and route.experiment.control is not None:
        known = [share.version for share in route.split if share.version is not None]
        if route.experiment.control not in known:
            told = ", ".join(map(str, known)) or "no version of this model"
            message = f"{route.experiment.control!r} is not in the split, which has {told}."
            yield Flaw(("experiment", "control"), message)


def _twice(name: str, targets: tuple[Target, ...]) -> Iterator[Flaw]:
    first: dict[str, int] = {}
    for place, target in enumerate(targets):
        reference = target.reference("")
        if reference in first:
            text = target.model or target.version
            yield Flaw((name, place), f"{text} is there already, as {name}[{first[reference]}].")
        first.setdefault(reference, place)
