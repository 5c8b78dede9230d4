"""The routes of all models: set, shown, taken back. What is decided here is stored before it is done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import attrs
import msgspec

from prism_core.errors import IllegalTransition
from prism_core.gateway.auditing import Audit
from prism_core.gateway.followers import Followers
from prism_core.gateway.records import Records
from prism_core.gateway.registry import LATEST, Model, Registry
from prism_core.gateway.traffic.changes import KEPT_CHANGES, SELECT, SELECT_ONE, Change, Ways, change_of
from prism_core.gateway.traffic.leading import lead, planned, ways_of
from prism_core.gateway.traffic.leads import check_leads, check_ways, sound
from prism_core.gateway.traffic.rules import check_rules
from prism_core.traffic.route import Route


@attrs.frozen
class LiveLine:
    """A line about what a route does now: about which key of it (``split``, ``guard``), and in words.

    ``target`` is the reference of what it is about, "" for the whole key.
    """

    key: str
    text: str
    target: str = ""


@attrs.define(eq=False)
class Routes:
    """Where the traffic of models goes, and how it came to that.

    Parameters
    ----------
    countries
        Whether rules may ask for them.

    Attributes
    ----------
    waiting
        Why a route of the settings is not followed yet, by model.
    live
        Each yields lines about what a model's route does now, for people: a circuit that is open, a canary
        that the guard watches.
    """

    records: Records
    registry: Registry
    followers: Followers
    audit: Audit
    countries: bool = False
    waiting: Mapping[str, str] = attrs.field(factory=dict)
    live: list[Callable[[Model], Iterable[LiveLine]]] = attrs.field(factory=list)

    async def set(
        self, model: str, route: Route | None, *, why: str = "", revision: int | None = None
    ) -> Change:
        """Let the bare name of a model go by a route from now on; None: to ``latest``, as without one.

        It is in effect in all gateways when this returns. ``revision``: only instead of the route that is
        this one.

        Raises
        ------
        ModelNotFound
            If there is no such model.
        IllegalTransition
            If the route is not of the ``revision`` any more.
        InvalidRoute
            If its values do not go together, if a rule cannot be read, if it names what is not there, or what
            takes no predictions and was not in the route before.
        """
        route = sound(route) if route else None
        facts = {"route": _said(msgspec.to_builtins(route)), "why": why}
        async with self.audit.acting("route.set", model, **facts), self.registry.lock(model):
            found = self.registry.model(model)
            if revision is not None and found.revision != revision:
                raise IllegalTransition(
                    f"The route of {model!r} was changed meanwhile.", hint="Look at it again."
                )
            if route:
                self._check(found, route)
            after = attrs.evolve(ways_of(found), route=route)
            return await self._lead(planned(found, after, "route.set", why=why))

    def check(self, model: str, route: Route) -> Route:
        """Return a route as it would be set.

        Raises
        ------
        ModelNotFound, InvalidRoute
            As `set`.
        """
        route = sound(route)
        self._check(self.registry.model(model), route)
        return route

    async def made(self, model: str, revision: int) -> Change | None:
        """Return the change that made the revision of a route; None where that is no longer known."""
        rows = await self.records.read(SELECT_ONE, model, revision)
        return change_of(rows[0]) if rows else None

    async def undo(self, model: str = "") -> Change:
        """Take back the last change of a model, or of all, that was not taken back yet.

        Raises
        ------
        IllegalTransition
            If there is none, or something was changed since without a record, or what was led to is gone.
        """
        return await self._take_back(model, undoable, "route.undo", "undo")

    async def redo(self, model: str = "") -> Change:
        """Take back the last `undo`, as long as nothing else was changed after it."""
        return await self._take_back(model, redoable, "route.redo", "redo")

    async def history(self, model: str = "", limit: int = 50) -> list[Change]:
        """Return the last changes of a model, or of all, the newest first."""
        if model:
            self.registry.model(model)
        rows = await self.records.read(SELECT, model, limit)
        return [change for row in rows if (change := change_of(row))]

    def _check(self, model: Model, route: Route) -> None:
        check_leads(self.registry, model, route)
        check_rules(model.name, route, countries=self.countries)

    async def _take_back(self, model: str, choose: Any, action: str, verb: str) -> Change:
        last = self._last(choose, verb, model, await self.history(model, KEPT_CHANGES))
        facts = {"seq": last.seq}
        async with self.audit.acting(action, last.model, **facts), self.registry.lock(last.model):
            # It may have waited for somebody else's change.
            last = self._last(choose, verb, last.model, await self.history(last.model, KEPT_CHANGES))
            found = self.registry.model(last.model)
            after = reverted(last, found)
            check_ways(self.registry, found, after)
            # What is done again is what the undo has taken back.
            what = f"{last.action} ({last.seq})" if verb == "undo" else last.why.removeprefix("undo of ")
            return await self._lead(planned(found, after, action, why=f"{verb} of {what}", undoes=last.seq))

    def _last(self, choose: Any, verb: str, model: str, changes: Sequence[Change]) -> Change:
        found: Change | None = choose(changes)
        if found is None:
            of = f" of {model!r}" if model else ""
            raise IllegalTransition(
                f"There is no change{of} to {verb}.",
                hint=f"`prism route {model or 'MODEL'} --history` shows what was changed.",
            )
        return found

    async def _lead(self, change: Change) -> Change:
        stored = await lead(self.records, self.registry, change)
        await self.followers.agree()
        return stored


def undoable(changes: Sequence[Change]) -> Change | None:
    """Return the newest change that stands and takes none back, None where there is none."""
    return next((change for change in standing(changes) if change.undoes is None), None)


def redoable(changes: Sequence[Change]) -> Change | None:
    """Return the newest undo that stands and has no other change after it, None where there is none."""
    by_seq = {change.seq: change for change in changes}
    for change in standing(changes):
        if change.undoes is None:
            return None
        if (undone := by_seq.get(change.undoes)) and undone.undoes is None:
            return change
    return None


def standing(changes: Sequence[Change]) -> Iterable[Change]:
    """Yield changes, the newest first, that no later one has taken back and that itself stands."""
    taken_back = set()
    for change in changes:
        if change.seq not in taken_back:
            if change.undoes is not None:
                taken_back.add(change.undoes)
            yield change


def reverted(change: Change, model: Model) -> Ways:
    """Return a model's ways without a change; what it did not touch stays as it is.

    Raises
    ------
    IllegalTransition
        If what it touched is not any more as it left it.
    """
    now, before, after = ways_of(model), _flat(change.before), _flat(change.after)
    have = _flat(now)
    touched = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    for key in sorted(touched):
        same = have.get(key) == after.get(key) or (key == LATEST and now.ceiling == change.after.ceiling)
        if not same:
            raise IllegalTransition(
                f"The {_words(key)} of {change.model!r} was changed otherwise since change {change.seq}.",
                hint=f"Set what you want instead; `prism route {change.model} --history` shows what was.",
            )
    wanted = {**have, **{key: before.get(key) for key in touched}}
    aliases = {key[1:]: to for key, to in wanted.items() if key[0] == "@" and to is not None}
    ceiling = _ceiling(change, model) if LATEST in touched else now.ceiling
    return Ways(wanted.get("route"), aliases, ceiling)


def _ceiling(change: Change, model: Model) -> int | None:
    """Return what lets ``latest`` mean what it meant before a change: the ceiling of then, if that does."""
    was = change.before
    then = model.latest_below(was.ceiling)
    return was.ceiling if then and then.manifest.version == was.latest else was.latest


def _flat(ways: Ways) -> Mapping[str, Any]:
    aliases = {f"@{alias}": to for alias, to in ways.aliases.items()}
    return {"route": ways.route, LATEST: ways.latest, **aliases}


def _said(plain: Any) -> Any:
    """Return a value without the keys that say nothing, as an entry of a log can be read."""
    if isinstance(plain, dict):
        told = {key: _said(value) for key, value in plain.items()}
        return {key: value for key, value in told.items() if value not in (None, "", [], ())}
    return [_said(one) for one in plain] if isinstance(plain, list | tuple) else plain


def _words(key: str) -> str:
    return key if key == "route" else f"alias {key.removeprefix('@')}"
