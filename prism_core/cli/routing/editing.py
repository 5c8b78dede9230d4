"""What the options of ``prism route`` make of the present route: the keys that they name, and no others."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs
import yaml

from prism_core.traffic.route import Route
from prism_core.traffic.targets import target_keys

Plain = dict[str, Any]
# What a flag switches on; what it was set to before stays.
SWITCHES = ("hedge", "experiment", "guard")
KEYS = tuple(field.name for field in attrs.fields(Route))
VALUE = "value:"


def edited(
    route: Plain | None, said: Mapping[str, Any], settings: Iterable[str], unset: Iterable[str]
) -> Plain:
    """Return a route with what was said on the command line.

    ``said`` are the options that were given, by their names; ``settings`` are texts ``KEY=VALUE``, ``unset``
    are keys.

    Raises
    ------
    ValueError
        If an option is written wrong; the message names it.
    """
    made = dict(route or {})
    for name, read in READERS.items():
        if said.get(name):
            made[name] = _read(name, read, said[name])
    for name in SWITCHES:
        if said.get(name):
            made[name] = made.get(name) or {}
    _of_one_key(made, said)
    for key in unset:
        _unset(made, key)
    for text in settings:
        _set(made, text)
    return made


def _of_one_key(made: Plain, said: Mapping[str, Any]) -> None:
    """Take what one option says: a number or a word."""
    if said.get("sticky") is not None:
        made["sticky"] = said["sticky"]
    if said.get("timeout_ms") is not None:
        made["timeout_ms"] = said["timeout_ms"]
    if said.get("bandit"):
        made["bandit"] = {**(made.get("bandit") or {}), "algorithm": said["bandit"]}
    if said.get("record") is not None:
        made["record"] = {**(made.get("record") or {}), "percent": said["record"]}
    _of_ensemble(made, said)
    # One takes the other's place: a route has either.
    if said.get("ensemble"):
        made["split"] = []
    elif said.get("split"):
        made["ensemble"] = None


def _of_ensemble(made: Plain, said: Mapping[str, Any]) -> None:
    told = {key: said[key] for key in ("combine", "need", "deadline_ms") if said.get(key) is not None}
    if said.get("stack"):
        told["stack"] = _read("stack", lambda texts: [target_keys(one) for one in texts], [said["stack"]])[0]
    if said.get("ensemble"):
        told["members"] = _read("ensemble", weighed, said["ensemble"])
    if not told:
        return
    kept = dict(made.get("ensemble") or {})
    if not kept and "members" not in told:
        option = next(iter(told)).replace("_", "-")
        raise ValueError(f"--{option}: there is no ensemble; name its members with --ensemble.")
    if told.get("combine", "stacking") != "stacking":
        kept.pop("stack", None)
    made["ensemble"] = {**kept, **told}


def weighed(texts: Iterable[str]) -> list[Plain]:
    """Return the shares of ``3=90,4=10``; a weight that is not said is 1."""
    return [_with_number(one, "weight") for one in _items(texts)]


def shadowed(texts: Iterable[str]) -> list[Plain]:
    """Return the shadows of ``5=20``, twenty in a hundred; all, where that is not said."""
    return [_with_number(one, "percent") for one in _items(texts)]


def fallen_back(texts: Iterable[str]) -> list[Plain]:
    """Return the fallbacks of ``2``, ``rf@champion`` and ``value:{...}``, in order."""
    found: list[Plain] = []
    for text in texts:
        if text.startswith(VALUE):
            found.append({"value": _json(text.removeprefix(VALUE))})
        else:
            found += [target_keys(one) for one in _items([text])]
    return found


def ruled(texts: Iterable[str]) -> list[Plain]:
    """Return the rules of ``EXPRESSION=TARGET``: what stands behind the last ``=`` is the target."""
    found = []
    for text in texts:
        when, equals, target = text.rpartition("=")
        if not equals or not when.strip():
            raise ValueError(f"{text!r} is no rule: write 'EXPRESSION=VERSION'.")
        found.append({"when": when.strip(), **target_keys(target)})
    return found


READERS: Mapping[str, Callable[[Iterable[str]], list[Plain]]] = {
    "split": weighed,
    "shadow": shadowed,
    "fallback": fallen_back,
    "rules": ruled,
}
# What options are called where that is not the key's name.
_OPTIONS = {"rules": "rule"}


def _read(name: str, read: Callable[[Iterable[str]], list[Plain]], texts: Iterable[str]) -> list[Plain]:
    try:
        return read(texts)
    except ValueError as error:
        raise ValueError(f"--{_OPTIONS.get(name, name)}: {error}") from error


def _items(texts: Iterable[str]) -> list[str]:
    return [one for text in texts for one in text.split(",")]


def _with_number(text: str, key: str) -> Plain:
    target, equals, number = text.partition("=")
    if not equals:
        return target_keys(target)
    try:
        return {**target_keys(target), key: float(number.strip().removesuffix("%"))}
    except ValueError as error:
        raise ValueError(f"{text!r} is not VERSION=NUMBER, for instance 3=90 or @champion=90.") from error


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no JSON: {error}.") from error


def _set(made: Plain, text: str) -> None:
    """Set a key deep in a route: ``guard.alpha=0.001``."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ValueError(f"--set: {text!r} is not KEY=VALUE, for instance guard.alpha=0.001.")
    *path, last = key.split(".")
    place = _below(made, path, f"--set {text}")
    try:
        place[last] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ValueError(f"--set: {value!r} cannot be read: {error}.") from error


def _unset(made: Plain, key: str) -> None:
    *path, last = key.split(".")
    if (path or [last])[0] not in KEYS:
        raise ValueError(f"--unset: there is no key {key!r}; known are {', '.join(KEYS)}.")
    if _has(made, path):
        _below(made, path, f"--unset {key}").pop(last, None)


def _has(made: Plain, path: Iterable[str]) -> bool:
    """Tell whether there is something at ``path``: what is not set is not made by taking a key of it away."""
    place: Any = made
    for name in path:
        place = place.get(name) if isinstance(place, dict) else None
    return place is not None


def _below(made: Plain, path: Iterable[str], option: str) -> Plain:
    """Return the mapping at ``path``, in copies all the way: the route that was read stays as it is."""
    place = made
    for name in path:
        inner = place.get(name)
        if inner is not None and not isinstance(inner, dict):
            raise ValueError(f"{option}: {name} is a list; give the whole of it, or use --file.")
        place[name] = dict(inner or {})
        place = place[name]
    return place
