"""Models, versions and aliases in memory, and the lanes that they lead to.

``lanes`` is computed from the models by `lanes_of` and replaced in one assignment, so a
prediction sees the old world or the new one, never a mixture. What must survive the
process is written by the use cases before they change anything here.
"""

from __future__ import annotations

import asyncio
import difflib
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import attrs

from prism_core.errors import IllegalTransition, ModelNotFound, PrismError, ServingError
from prism_core.gateway import lifecycle
from prism_core.gateway.lane import Lane
from prism_core.gateway.lifecycle import State
from prism_core.gateway.records import ModelRow
from prism_core.gateway.traffic.ensembles import EnsembleStep
from prism_core.gateway.traffic.routed import Routed
from prism_core.gateway.use import Use
from prism_core.manifest import Manifest
from prism_core.specs import ModelEvent
from prism_core.traffic.route import Route
from prism_core.types import Signature

LATEST = "latest"

Emit = Callable[[ModelEvent], None]
# Makes of a model and all lanes what its bare name means; see `Routing`.
MakeRouted = Callable[["Model", Route, Mapping[str, Lane]], Routed]


@attrs.define(eq=False)
class Version:
    """One version in memory.

    ``lane`` is there while the version takes predictions; ``signature`` since it first was
    ready. ``use`` is how it has been used. ``published`` is False during its first start: it is
    shown, and not yet stored.
    """

    manifest: Manifest
    signature: Signature | None = None
    state: State = State.STORED
    wanted: bool = True
    published: bool = True
    error: str = ""
    lane: Lane | None = None
    use: Use = attrs.field(factory=Use)

    @property
    def name(self) -> str:
        """What messages call it: ``churn/3``."""
        return f"{self.manifest.model}/{self.manifest.version}"


@attrs.define(eq=False)
class Model:
    """One model in memory; fields as in `ModelRow`, ``named`` being its aliases but ``latest``.

    ``route`` is where requests for its bare name go, None for ``latest``; ``revision`` is the number of the
    change that made it so.
    """

    name: str
    last_version: int = 0
    ceiling: int | None = None
    versions: dict[int, Version] = attrs.field(factory=dict)
    named: dict[str, int] = attrs.field(factory=dict)
    route: Route | None = None
    revision: int = 0

    @property
    def latest(self) -> Version | None:
        """The newest version that takes predictions, not above the ceiling of a rollback."""
        return self.latest_below(self.ceiling)

    def latest_below(self, ceiling: int | None) -> Version | None:
        """Return what would be the latest with another ceiling, None for none."""
        ceiling = self.last_version if ceiling is None else ceiling
        serving = (v for number, v in self.versions.items() if v.lane is not None and number <= ceiling)
        return max(serving, key=lambda v: v.manifest.version, default=None)

    @property
    def aliases(self) -> dict[str, int]:
        """Every alias, ``latest`` among them while something is served."""
        latest = self.latest
        return ({LATEST: latest.manifest.version} if latest else {}) | self.named

    @property
    def meant(self) -> list[Version]:
        """The versions that aliases mean, whether they are served or not: what a start brings up."""
        ceiling = self.last_version if self.ceiling is None else self.ceiling
        newest = max((n for n in self.versions if n <= ceiling), default=max(self.versions, default=0))
        return [self.versions[n] for n in sorted({newest, *self.named.values()}) if n in self.versions]

    @property
    def previous(self) -> Version:
        """The version that a rollback of ``latest`` leads to.

        Raises
        ------
        IllegalTransition
            If there is no earlier version that is ready.
        """
        latest = self.latest
        earlier = [
            v for v in self.versions.values() if latest and v.manifest.version < latest.manifest.version
        ]
        ready = [v for v in earlier if v.state is State.READY]
        if ready:
            return max(ready, key=lambda v: v.manifest.version)
        known = ", ".join(f"{v.manifest.version} is {v.state}" for v in earlier)
        raise IllegalTransition(
            f"{self.name!r} has no earlier version that is ready{f' ({known})' if known else ''}.",
            hint=f"Start one first: prism start {self.name} --version {earlier[-1].manifest.version}."
            if earlier
            else "Upload the earlier artifact again.",
        )


class Registry:
    """All models of a gateway.

    Parameters
    ----------
    emit
        Called with every event, in order.
    clock
        Unix seconds.

    Attributes
    ----------
    lanes
        What can be asked, by reference; replaced whole.
    changed
        Called whenever something may have changed: versions, states, aliases or lanes.
    routed
        Makes what has a route; None: routes are not followed.
    """

    def __init__(self, emit: Emit, clock: Callable[[], float] = time.time) -> None:
        self.lanes: Mapping[str, Lane | Routed] = {}
        self.routed: MakeRouted | None = None
        self.models: dict[str, Model] = {}
        self.changed: Callable[[], None] = lambda: None
        self._direct: Mapping[str, Lane] = {}
        self._emit = emit
        self._clock = clock
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def lock(self, model: str) -> asyncio.Lock:
        """Return the lock that is held by whoever changes a model, also one that is still to come."""
        return self._locks[model]

    def restore(self, rows: Iterable[ModelRow]) -> None:
        """Fill an empty registry with what was stored."""
        for row in rows:
            versions = {
                v.manifest.version: Version(
                    v.manifest, v.signature, State.STORED if v.wanted else State.STOPPED, v.wanted, use=v.use
                )
                for v in row.versions
            }
            self.models[row.name] = Model(
                row.name, row.last_version, row.ceiling, versions, dict(row.aliases), row.route, row.revision
            )

    def versions(self) -> Iterator[Version]:
        """Yield every version of every model."""
        for model in self.models.values():
            yield from model.versions.values()

    def model(self, name: str) -> Model:
        """Return the model; `ModelNotFound` with a did-you-mean where there is none."""
        if name in self.models:
            return self.models[name]
        raise self._no_model(name)

    def version(self, name: str, number: int | None = None) -> Version:
        """Return a version: ``number``, or the one that ``name`` alone serves, or the newest.

        Raises
        ------
        ModelNotFound
            If there is none.
        """
        model = self.model(name)
        if number is None:
            newest = max(model.versions, default=0)
            found = model.latest or model.versions.get(newest)
        else:
            found = model.versions.get(number)
        if found is None:
            raise self._no_version(model, number or 0)
        return found

    def find(self, reference: str) -> Version:
        """Return the version that ``churn``, ``churn@champion`` or ``churn/3`` means, in whatever state.

        Raises
        ------
        ModelNotFound
            If there is none.
        """
        name, alias, number = split(reference)
        model = self.model(name)
        if alias and alias != LATEST:
            if alias not in model.named:
                raise _no_alias(model, alias)
            return self.version(name, model.named[alias])
        if number and not number.isdecimal():
            raise self._no_version(model, number)
        return self.version(name, int(number) if number else None)

    def put(self, version: Version) -> None:
        """Add a version, and its model if that is new."""
        model = self.models.setdefault(version.manifest.model, Model(version.manifest.model))
        model.versions[version.manifest.version] = version

    def discard(self, version: Version) -> None:
        """Forget a version, and its model with the last one."""
        model = self.models.get(version.manifest.model)
        if model is None:
            return
        model.versions.pop(version.manifest.version, None)
        if not model.versions:
            del self.models[model.name]
        self.refresh()

    def move(self, version: Version, target: State, **facts: Any) -> None:
        """Change a version's state and tell it.

        Raises
        ------
        IllegalTransition
            If `lifecycle` does not allow it; nothing is changed.
        """
        version.state = lifecycle.move(version.name, version.state, target)
        self.tell(f"model.{target.lower()}", version.manifest.model, version.manifest.version, **facts)

    def tell(self, name: str, model: str, version: int, **facts: Any) -> None:
        """Emit an event."""
        self._emit(ModelEvent(name, model, version, self._clock(), facts))
        self.changed()

    def refresh(self) -> None:
        """Compute ``lanes`` anew; tell of every alias that now leads elsewhere.

        What an alias has left is asked little from now on: its cached answers are freed.
        """
        before, after = self._direct, lanes_of(self.models)
        self._direct = after
        self.lanes = {**after, **self._routed(after)}
        for reference, lane in before.items():
            if "@" in reference and after.get(reference) is not lane:
                lane.drop_answers()
        for reference, lane in after.items():
            model, at, alias = reference.partition("@")
            was = before.get(reference)
            if at and (was is None or was.manifest.version != lane.manifest.version):
                self.tell("alias.moved", model, lane.manifest.version, alias=alias)
        self.changed()

    def together(self, reference: str) -> EnsembleStep | None:
        """Return the ensemble that answers under a model's bare name; None for anything else."""
        found = self.lanes.get(reference)
        return found.together if isinstance(found, Routed) else None

    def _routed(self, lanes: Mapping[str, Lane]) -> dict[str, Routed]:
        make = self.routed
        if make is None:
            return {}
        return {name: make(model, model.route, lanes) for name, model in self.models.items() if model.route}

    def explain(self, reference: str) -> PrismError:
        """Return why there is no lane for ``reference``, and what to do about it."""
        name, alias, number = split(reference)
        model = self.models.get(name)
        if model is None:
            return self._no_model(name)
        if alias and alias != LATEST:
            if alias not in model.named:
                return _no_alias(model, alias)
            number = str(model.named[alias])
        if number and not (number.isdecimal() and int(number) in model.versions):
            return self._no_version(model, number)
        version = model.versions[int(number)] if number else self.version(name)
        if version.lane is not None:
            return _held_down(model)
        return _not_served(version, reference)

    def _no_model(self, name: str) -> ModelNotFound:
        close = difflib.get_close_matches(name, self.models, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else "`prism list` shows the models of this server."
        return ModelNotFound(f"There is no model {name!r}.", hint=hint, details={"model": name})

    def _no_version(self, model: Model, number: int | str) -> ModelNotFound:
        known = ", ".join(str(v) for v in sorted(model.versions)) or "none"
        return ModelNotFound(
            f"{model.name!r} has no version {number}; it has {known}.", details={"model": model.name}
        )


def lanes_of(models: Mapping[str, Model]) -> dict[str, Lane]:
    """Return the lane of every reference that can be predicted with."""
    lanes: dict[str, Lane] = {}
    for name, model in models.items():
        for number, version in model.versions.items():
            if version.lane is not None:
                lanes[f"{name}/{number}"] = version.lane
        for alias, number in model.aliases.items():
            if f"{name}/{number}" in lanes:
                lanes[f"{name}@{alias}"] = lanes[f"{name}/{number}"]
        if f"{name}@{LATEST}" in lanes:
            lanes[name] = lanes[f"{name}@{LATEST}"]
    return lanes


def split(reference: str) -> tuple[str, str, str]:
    """Split ``churn@champion`` or ``churn/3`` into model, alias and version, "" for what is not said."""
    name, at, alias = reference.partition("@")
    if at:
        return name, alias, ""
    name, _, number = reference.partition("/")
    return name, "", number


def _no_alias(model: Model, alias: str) -> ModelNotFound:
    known = list(model.aliases)
    close = difflib.get_close_matches(alias, known, n=1)
    hint = (
        f"Did you mean {model.name}@{close[0]}?"
        if close
        else f"Set it: prism alias {model.name} {alias} VERSION."
    )
    message = f"{model.name!r} has no alias {alias!r}; it has {', '.join(known) or 'none'}."
    return ModelNotFound(message, hint=hint, details={"model": model.name})


def _held_down(model: Model) -> ModelNotFound:
    return ModelNotFound(
        f"A rollback holds {model.name!r} at version {model.ceiling} or below, and none of these is ready.",
        hint=f"Lift it: prism alias {model.name} latest {model.last_version}. Or start an earlier version.",
        details={"model": model.name},
    )


_NEXT: Mapping[State, str] = {
    State.STORED: "It is about to be started; try again in a moment.",
    State.STARTING: "Try again when it is ready.",
    State.READY: "Try again.",
    State.DRAINING: "Start it again when it has stopped, or ask for another version.",
    State.STOPPED: "`prism start` brings it up.",
    State.FAILED: "`prism show` and `prism logs` say why; `prism start` tries again.",
}


def unserved(version: Version) -> str:
    """Return why a version takes no predictions and what to do, as anybody may know it; "" where it does."""
    if version.lane is not None:
        return ""
    why = _not_served(version, version.name)
    return f"{why.message} {why.hint}"


def _not_served(version: Version, reference: str) -> PrismError:
    name, state = version.manifest.model, version.state
    # It is there and should serve: a caller must not take it for something that was removed.
    kind = ServingError if state is State.FAILED else ModelNotFound
    return kind(
        f"Version {version.manifest.version} of {name!r} is {state} and takes no predictions.",
        hint=_NEXT[state],
        details={
            "model": name,
            "version": version.manifest.version,
            "state": str(state),
            "reference": reference,
        },
    )
