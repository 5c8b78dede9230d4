"""What all gateways have found out about shadows: added up in the leader, kept over a restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager

import attrs
import msgspec
import structlog
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from prism_core.gateway.auditing import Audit, audited
from prism_core.gateway.registry import Registry
from prism_core.gateway.traffic.desk import Desk
from prism_core.gateway.traffic.kinds import Shadowed
from prism_core.gateway.traffic.shadows.questions import Pair
from prism_core.gateway.traffic.states import State, States
from prism_core.traffic.comparing import Agreement

KIND = "shadow"
# What is not written yet is lost with a kill.
SAVE_S = 5.0
LABELS = ("model", "live", "shadow")

log = structlog.get_logger("prism.shadows")


class Kept(msgspec.Struct):
    """What is known of a pair of versions.

    ``since`` and ``until`` are the first and the last report, in Unix seconds; ``dropped`` are requests of
    which the shadow was not asked, by why.
    """

    since: float
    until: float
    agreement: Agreement = msgspec.field(default_factory=Agreement)
    dropped: dict[str, int] = {}

    def add(self, report: Shadowed) -> None:
        """Count what a gateway reports."""
        self.until = max(self.until, report.at)
        self.agreement.merge(report.agreement)
        for why, count in report.dropped.items():
            self.dropped[why] = self.dropped.get(why, 0) + count


@attrs.define(eq=False)
class Agreements(Collector):
    """What is known of all pairs of versions. Made by `open_agreements`.

    Parameters
    ----------
    states
        Where they are kept.
    registry
        What is known of a model that is gone is not kept.
    audit
        Who began anew.
    """

    states: States
    registry: Registry
    audit: Audit
    _kept: dict[Pair, Kept] = attrs.field(factory=dict)
    _unwritten: set[Pair] = attrs.field(factory=set)
    _saving: asyncio.Task[None] | None = None

    async def restore(self) -> None:
        """Read what was known."""
        for state in await self.states.load(KIND):
            live, _, shadow = state.name.partition(" ")
            try:
                kept = msgspec.json.decode(state.text, type=Kept)
            except msgspec.MsgspecError as error:  # of another release
                log.warning("shadow.not_restored", model=state.model, error=str(error))
            else:
                self._kept[Pair(state.model, live, shadow)] = kept

    def hear(self, report: Shadowed) -> None:
        """Take what a gateway has found out."""
        pair = Pair(report.model, report.live, report.shadow)
        if pair.model not in self.registry.models:
            return
        kept = self._kept.get(pair)
        if kept is None:
            kept = self._kept[pair] = Kept(report.at, report.at)
        kept.add(report)
        self._unwritten.add(pair)
        if self._saving is None:
            self._saving = asyncio.create_task(self._save_later(), name="save shadows")

    def of(self, model: str) -> Mapping[Pair, Kept]:
        """Return what is known of a model's shadows."""
        return {pair: self._kept[pair] for pair in sorted(self._kept) if pair.model == model}

    @audited("shadow.forget")
    async def forget(self, model: str) -> None:
        """Begin anew with the shadows of a model; `ModelNotFound` where there is none."""
        self.registry.model(model)
        await self._forget(lambda pair: pair.model == model)

    async def forget_version(self, model: str, version: int) -> None:
        """Forget what is known of a version that was removed, whoever it was a shadow of."""
        reference = f"{model}/{version}"
        await self._forget(lambda pair: reference in (pair.live, pair.shadow))

    async def _forget(self, wanted: Callable[[Pair], bool]) -> None:
        for pair in [pair for pair in self._kept if wanted(pair)]:
            del self._kept[pair]
            self._unwritten.discard(pair)
            await self.states.forget(KIND, pair.model, _name(pair))

    async def save(self) -> None:
        """Store what has changed; where that fails it is tried again: a full disk must stop nothing."""
        pairs, self._unwritten = self._unwritten, set()
        try:
            await self.states.save(*(self._state(pair) for pair in pairs if pair in self._kept))
        except Exception:
            self._unwritten |= pairs
            log.exception("shadow.not_saved")

    async def close(self) -> None:
        """Store all."""
        if self._saving is not None:
            self._saving.cancel()
            await asyncio.gather(self._saving, return_exceptions=True)
        await self.save()

    async def _save_later(self) -> None:
        await asyncio.sleep(SAVE_S)
        self._saving = None
        await self.save()

    def _state(self, pair: Pair) -> State:
        return State(pair.model, KIND, _name(pair), 0, msgspec.json.encode(self._kept[pair]).decode())

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics for `prometheus_client`."""
        pairs = CounterMetricFamily(
            "prism_shadow_requests", "Answers beside a shadow's.", labels=(*LABELS, "result")
        )
        rows = CounterMetricFamily("prism_shadow_rows", "Rows beside a shadow's.", labels=(*LABELS, "result"))
        dropped = CounterMetricFamily(
            "prism_shadow_dropped", "Requests that a shadow was not asked.", labels=(*LABELS, "reason")
        )
        for pair, kept in self._kept.items():
            names = (pair.model, pair.live, pair.shadow)
            for result, count in results(kept.agreement).items():
                pairs.add_metric((*names, result), count)
            agreement = kept.agreement
            rows.add_metric((*names, "agreed"), agreement.agreed)
            rows.add_metric((*names, "differed"), agreement.rows - agreement.agreed)
            for why, count in kept.dropped.items():
                dropped.add_metric((*names, why), count)
        yield from (pairs, rows, dropped)


def results(agreement: Agreement) -> dict[str, int]:
    """Return how many pairs there were by what came of them."""
    differed = agreement.compared - agreement.agreeing
    return {"agreed": agreement.agreeing, "differed": differed, **agreement.whys}


def _name(pair: Pair) -> str:
    return f"{pair.live} {pair.shadow}"


@asynccontextmanager
async def open_agreements(
    desk: Desk, states: States, registry: Registry, audit: Audit
) -> AsyncIterator[Agreements]:
    """Take what gateways find out about shadows, from what was known on; at the end all is stored."""
    agreements = Agreements(states, registry, audit)
    await agreements.restore()
    desk.want(Shadowed, agreements.hear)
    try:
        yield agreements
    finally:
        await agreements.close()
