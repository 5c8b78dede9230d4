"""Routes and their changes in words."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs
import msgspec

from prism_core.cli.routing.editing import VALUE
from prism_core.sizes import format_bytes
from prism_core.traffic.bandit import Bandit
from prism_core.traffic.circuit import CircuitPolicy
from prism_core.traffic.experiment import Experiment, TrafficGuard
from prism_core.traffic.hedge import Hedge
from prism_core.traffic.recording import Recording
from prism_core.traffic.route import Route

Plain = Mapping[str, Any]
Row = tuple[str, str, str]
LISTS = ("rules", "split", "shadow", "fallback")
# Keys that hold keys, as they are where nobody says anything of them.
DEFAULTS: Mapping[str, Plain] = json.loads(
    msgspec.json.encode(
        {
            "circuit": CircuitPolicy(),
            "bandit": Bandit(),
            "experiment": Experiment(),
            "guard": TrafficGuard(),
            "hedge": Hedge(),
            "record": Recording(),
        }
    )
)
ORDER = [field.name for field in attrs.fields(Route)]


def rows(info: Plain) -> Iterator[Row]:
    """Yield the lines of a route: key, what it says, and what it does now."""
    route = info["route"]
    for name in LISTS:
        yield from _list_rows(info, name, route.get(name) or ())
    if ensemble := route.get("ensemble"):
        yield from _list_rows(info, "ensemble", ensemble["members"])
        yield "", facts({key: value for key, value in ensemble.items() if key != "members"}), ""
    for name in _ordered(route):
        if name not in (*LISTS, "ensemble") and said(name, route[name]):
            live = "; ".join(_about(line) for line in info["live"] if line["key"] == name)
            yield _label(name), _value(name, route[name]), live


def _ordered(names: Iterable[str]) -> list[str]:
    return sorted(names, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))


def _list_rows(info: Plain, name: str, entries: Sequence[Plain]) -> Iterator[Row]:
    whole = sum(entry.get("weight", 0) for entry in entries)
    lines = [line for line in info["live"] if line["key"] == name]
    for place, entry in enumerate(entries):
        meant = _meant(info, entry)
        beside = [line["text"] for line in lines if line["target"] in meant]
        lines = [line for line in lines if line["target"] not in meant]
        label = "" if place else _label(name)
        yield label, _entry(name, entry, whole), "; ".join(beside)
    # What is about the whole key, or about what is told in another way.
    yield from (("", "", _about(line)) for line in lines)


def _entry(name: str, entry: Plain, whole: float) -> str:
    target = target_text(entry)
    if name == "split":
        percent = f"{100 * entry['weight'] / whole:.4g} %" if whole else "0 %"
        return f"{target:<16} {percent}"
    if name == "ensemble":
        return target if entry["weight"] == 1 else f"{target:<16} weight {entry['weight']:g}"
    if name == "shadow":
        return f"{target:<16} {entry['percent']:g} %"
    return f"{target:<16} where {entry['when']}" if name == "rules" else target


def _meant(info: Plain, entry: Plain) -> set[str]:
    """Return the references of what an entry leads to: as it says, and by number."""
    model, version = info["model"], entry.get("version")
    if version is None:
        other: str = entry.get("model") or ""
        return {other, f"{other}@latest"} if other else set()
    if isinstance(version, int):
        return {f"{model}/{version}"}
    return {f"{model}@{version}", f"{model}/{info['aliases'].get(version)}"}


def _about(line: Plain) -> str:
    """Return a line with what it is about, where it does not say so itself."""
    target = line["target"]
    return line["text"] if not target or target in line["text"] else f"{target}: {line['text']}"


def _label(name: str) -> str:
    return {"timeout_ms": "timeout", "rules": "rule"}.get(name, name)


def said(name: str, value: Any) -> bool:
    """Tell whether a key says something: it is not as without a route."""
    if name == "circuit":
        return bool(value) and value != DEFAULTS[name]
    return bool(value) or value == {}


def _value(name: str, value: Any) -> str:
    if name == "timeout_ms":
        return f"{value:g} ms"
    return facts(value) if isinstance(value, Mapping) else _text(value)


def facts(values: Plain) -> str:
    """Return keys and values in one line: ``alpha=0.01 metrics=errors,latency``."""
    told = {key: value for key, value in values.items() if value not in (None, [], "")}
    return " ".join(f"{key}={_sized(key, value)}" for key, value in sorted(told.items())) or "yes"


def _sized(key: str, value: Any) -> str:
    return format_bytes(value).replace(" ", "") if key.endswith("_size") else _text(value)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ",".join(map(_text, value))
    if isinstance(value, Mapping):
        return target_text(value) if {"version", "model"} <= value.keys() else facts(value)
    return str(value)


def target_text(entry: Plain) -> str:
    """Return what an entry leads to, as options write it."""
    if entry.get("value") is not None:
        return f"{VALUE}{json.dumps(entry['value'])}"
    version = entry.get("version")
    if version is None:
        return str(entry.get("model"))
    return str(version) if isinstance(version, int) else f"@{version}"


# --- changes ---------------------------------------------------------------------------------


def moves_text(moves: Sequence[Plain], model: str) -> list[str]:
    """Return who moves, a line each: 10 % of the traffic moves from 3 to 4."""
    return [
        f"{move['percent']:.3g} % of the traffic moves from {_short(move['source'], model)} "
        f"to {_short(move['target'], model)}."
        for move in moves
    ]


def still_text(route: Plain | None) -> str:
    """Return what would become of the traffic where none moves between versions."""
    ensemble = route.get("ensemble") if route else None
    if ensemble:
        return f"{len(ensemble['members'])} versions would answer together."
    return "No traffic would move."


def _short(reference: str, model: str) -> str:
    return reference.removeprefix(f"{model}/")


def differences(before: Plain, after: Plain) -> list[str]:
    """Return what a change changed: ``split 3=90,4=10 → 3=80,4=20``, ``@champion 3 → 4``."""
    told = _of_routes(before["route"], after["route"])
    names = sorted(before["aliases"].keys() | after["aliases"].keys())
    for name in names:
        was, then = before["aliases"].get(name, "none"), after["aliases"].get(name, "none")
        if was != then:
            told.append(f"@{name} {was} → {then}")
    if before["latest"] != after["latest"]:
        told.append(f"@latest {before['latest']} → {after['latest']}")
    elif before["ceiling"] != after["ceiling"]:
        held = "follows the newest" if after["ceiling"] is None else f"is held at {after['ceiling']}"
        told.append(f"@latest {held}")
    return told


def _of_routes(before: Plain | None, after: Plain | None) -> list[str]:
    was, then = before or {}, after or {}
    changed = [name for name in _ordered({*was, *then}) if _differs(name, was.get(name), then.get(name))]
    told = [f"{_label(name)} {_as_said(name, was)} → {_as_said(name, then)}" for name in changed]
    if told or (before is None) == (after is None):
        return told
    return ["no route → an empty one" if before is None else "an empty route → none"]


def _differs(name: str, was: Any, then: Any) -> bool:
    return was != then and (said(name, was) or said(name, then))


def _as_said(name: str, route: Plain) -> str:
    value: Any = route.get(name)
    if not said(name, value):
        return "none"
    if name in LISTS:
        return ",".join(_item(name, entry) for entry in value)
    if name == "ensemble":
        members = ",".join(_item("split", entry) for entry in value["members"])
        return f"{members} {facts({key: one for key, one in value.items() if key != 'members'})}"
    if name in DEFAULTS:
        return facts({key: one for key, one in value.items() if one != DEFAULTS[name].get(key)})
    return _value(name, value)


def _item(name: str, entry: Plain) -> str:
    number = {"split": "weight", "shadow": "percent"}.get(name)
    text = target_text(entry)
    if name == "rules":
        return f"{entry['when']}={text}"
    return f"{text}={entry[number]:g}" if number else text
