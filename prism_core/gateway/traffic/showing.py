"""Routes as they are shown: what each version gets of them, and what a change moves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import attrs
import msgspec

from prism_core.errors import PrismError
from prism_core.gateway.breaker import Circuit
from prism_core.gateway.registry import LATEST, Model, Registry, Version
from prism_core.gateway.traffic.bandits import ArmInfo
from prism_core.gateway.traffic.changes import Change, Ways
from prism_core.gateway.traffic.circuit_states import CircuitStates
from prism_core.gateway.traffic.leads import leads
from prism_core.gateway.traffic.routes import LiveLine, Routes, standing
from prism_core.traffic.flaws import Key
from prism_core.traffic.moves import Move, moves
from prism_core.traffic.route import Route
from prism_core.traffic.targets import Shadow, Share, Target


@attrs.frozen
class RouteInfo:
    """Where the traffic of a model goes, as it is shown.

    ``revision`` is the number of the change that made it so; ``at``, ``actor`` and ``why`` are that change's.
    ``aliases`` hold ``latest`` too. ``waiting`` is why the route of the settings is not followed yet,
    ``live`` what the route does now, ``circuits`` the states of those of the versions that may answer.
    ``bandit`` is what is known of the arms, where the route has one.
    ``moves`` and ``warnings`` are of a change that was made, or would be.
    """

    model: str
    route: dict[str, Any] | None
    revision: int
    aliases: dict[str, int]
    at: float | None = None
    actor: str = ""
    why: str = ""
    waiting: str = ""
    live: list[LiveLine] = attrs.field(factory=list)
    circuits: dict[str, str] = attrs.field(factory=dict)
    bandit: list[ArmInfo] = attrs.field(factory=list)
    moves: list[Move] = attrs.field(factory=list)
    warnings: list[str] = attrs.field(factory=list)


@attrs.frozen
class ChangeInfo:
    """A `Change` as it is shown. ``stands``: no later one has taken it back."""

    seq: int
    at: float
    model: str
    actor: str
    action: str
    why: str
    before: Ways
    after: Ways
    undoes: int | None
    stands: bool


async def route_info(routes: Routes, name: str) -> RouteInfo:
    """Return where the traffic of a model goes now."""
    model = routes.registry.model(name)
    made = await routes.made(name, model.revision)
    live = [line for lines in routes.live for line in lines(model)] if model.route else []
    return RouteInfo(
        name,
        msgspec.to_builtins(model.route) if model.route else None,
        model.revision,
        model.aliases,
        made.at if made else None,
        made.actor if made else "",
        made.why if made else "",
        routes.waiting.get(name, ""),
        live,
    )


def circuit_lines(circuits: CircuitStates) -> Callable[[Model], Iterator[LiveLine]]:
    """Return what tells of the circuits of a model's route that are not closed; see `Routes.live`."""

    def lines(model: Model) -> Iterator[LiveLine]:
        states = circuits.of(model.name)
        for key, target, version in leads(circuits.registry, model):
            state = states.get(version.name, Circuit.CLOSED)
            if state is not Circuit.CLOSED:
                yield LiveLine(str(key[0]), f"circuit {state}", target.reference(model.name))

    return lines


def change_infos(changes: list[Change]) -> list[ChangeInfo]:
    """Return changes, the newest first, as they are shown."""
    stand = {change.seq for change in standing(changes)}
    return [change_info(change, change.seq in stand) for change in changes]


def change_info(change: Change, stands: bool = True) -> ChangeInfo:
    """Return a change as it is shown."""
    facts = {field.name: getattr(change, field.name) for field in attrs.fields(ChangeInfo)[:-1]}
    return ChangeInfo(**facts, stands=stands)


def traffic_of(registry: Registry, version: Version) -> list[str]:
    """Return what the routes of all models give a version, in words."""
    told: list[str] = []
    for model in registry.models.values():
        if model.route:
            of = "" if model.name == version.manifest.model else f" of {model.name}"
            got = (
                f"{_words(model.route, key, target)}{of}"
                for key, target, found in leads(registry, model)
                if found is version
            )
            told += got
            if not (model.route.split or model.route.ensemble or of) and model.latest is version:
                told.insert(0, "all")
    return list(dict.fromkeys(told))


def _words(route: Route, key: Key, target: Target) -> str:
    if isinstance(target, Shadow):
        return f"shadow {target.percent:g} %"
    if isinstance(target, Share) and key[0] == "split" and not route.bandit:
        whole = sum(share.weight for share in route.split)
        return f"split {100 * target.weight / whole if whole else 0:.3g} %"
    return {"rules": "rule"}.get(str(key[0]), str(key[0]))


def moved(registry: Registry, model: Model, before: Route | None, after: Route | None) -> list[Move]:
    """Return how much of a model's traffic moves when its route changes; nothing of ensembles."""
    was, then = _weights(registry, model, before), _weights(registry, model, after)
    return moves(was, then) if was and then else []


def _weights(registry: Registry, model: Model, route: Route | None) -> Mapping[str, float]:
    """Return the weight of each version by its name; none where an ensemble answers."""
    if route and route.ensemble:
        return {}
    weights: defaultdict[str, float] = defaultdict(float)
    for share in route.split if route and route.split else (Share(LATEST),):
        try:
            weights[registry.find(share.reference(model.name)).name] += share.weight
        except PrismError:
            continue
    return weights


def warnings_of(registry: Registry, model: Model, route: Route | None) -> list[str]:
    """Return what is odd about a route, and may be meant."""
    if route is None:
        return []
    found = list(leads(registry, model, route))
    return [*_warnings(found), *(_unhedged(found) if route.hedge else ())]


def _unhedged(found: Iterable[tuple[Key, Target, Version]]) -> Iterator[str]:
    """Yield which versions are not hedged although the route says so."""
    answering = ((target, version.lane) for key, target, version in found if key[0] != "shadow")
    for target, lane in answering:
        if lane is not None and not lane.deterministic:
            yield f"{target.text} is not deterministic, and never asked twice."
        elif lane is not None and len(lane.clients) + len(lane.troubles.left_out) == 1:
            yield f"{target.text} has one replica, and there is none to ask a second time."


def _warnings(found: Iterable[tuple[Key, Target, Version]]) -> Iterator[str]:
    in_split: dict[int, Target] = {}
    for key, target, version in found:
        if version.lane is None:
            yield f"{target.text} is {version.state} and gets nothing until it is started."
        if key[0] == "split":
            other = in_split.setdefault(id(version), target)
            if other is not target:
                yield f"{target.text} and {other.text} of the split are the same version now, {version.name}."
