"""The one way in which the traffic of a model is led elsewhere: stored first, then one assignment.

Routes, aliases and the ceiling over ``latest`` all go through `lead`, so that each change can be shown and
taken back. To be called with the model's lock held; whoever calls lets all gateways agree then.
"""

from __future__ import annotations

import time

import attrs

from prism_core.gateway.auditing import actor
from prism_core.gateway.records import Records
from prism_core.gateway.registry import LATEST, Model, Registry
from prism_core.gateway.traffic.changes import Change, Ways
from prism_core.gateway.uninterrupted import uninterrupted


def ways_of(model: Model) -> Ways:
    """Return where the traffic of a model goes now."""
    return Ways(model.route, dict(model.named), model.ceiling, _latest(model, model.ceiling))


def planned(
    model: Model,
    after: Ways,
    action: str,
    *,
    why: str = "",
    undoes: int | None = None,
    latest: int | None = None,
) -> Change:
    """Return the change of a model's ways to ``after``, not stored yet.

    ``latest`` is what that will be, None for what it is of the versions that are served now.
    """
    before = ways_of(model)
    after = attrs.evolve(after, latest=latest or _latest(model, after.ceiling))
    revision = 0 if moves_route(model.name, before, after) else model.revision
    return Change(time.time(), model.name, actor().by, action, before, after, why, revision, undoes)


def _latest(model: Model, ceiling: int | None) -> int | None:
    found = model.latest_below(ceiling)
    return found.manifest.version if found else None


async def lead(records: Records, registry: Registry, change: Change) -> Change:
    """Store a change, then let it be; return it with its number.

    One that changes nothing is not stored, unless it takes another one back: that is taken back then.
    """
    if change.before == change.after and change.undoes is None:
        return change
    return await uninterrupted(_lead(records, registry, change))


async def _lead(records: Records, registry: Registry, change: Change) -> Change:
    stored = await records.change(change)
    take(registry.model(change.model), stored)
    registry.refresh()
    tell(registry, stored)
    return stored


def take(model: Model, change: Change) -> None:
    """Let a model be as a stored change says."""
    after = change.after
    model.route, model.named, model.ceiling = after.route, dict(after.aliases), after.ceiling
    model.revision = change.revision


def tell(registry: Registry, change: Change) -> None:
    """Tell of a change of a route; the registry tells of aliases itself."""
    if change.before.route != change.after.route:
        facts = {"revision": change.revision, "actor": change.actor, "why": change.why}
        registry.tell("route.changed", change.model, 0, **facts)


def moves_route(model: str, before: Ways, after: Ways) -> bool:
    """Tell whether requests that go by the route are answered by others from now on.

    Not where another alias moves: what has been learned of the route's versions stays true.
    """
    if before.route != after.route:
        return True
    targets = after.route.targets if after.route else ()
    references = (target.reference(model).partition("@") for target in targets)
    led = {alias for name, at, alias in references if at and name == model}
    moved = {one for one in led if before.aliases.get(one) != after.aliases.get(one)}
    return bool(moved) or (LATEST in led and before.latest != after.latest)


def without(ways: Ways, alias: str) -> Ways:
    """Return ways without an alias."""
    return attrs.evolve(ways, aliases={name: to for name, to in ways.aliases.items() if name != alias})
