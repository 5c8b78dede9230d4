"""The bandits of the leading gateway: rewards become weights of splits, now and then, for all gateways."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import attrs
import msgspec
import structlog

from prism_core.gateway.channel import Weights
from prism_core.gateway.followers import Followers
from prism_core.gateway.registry import Model, Registry
from prism_core.gateway.traffic.desk import Desk
from prism_core.gateway.traffic.kinds import Judged
from prism_core.gateway.traffic.remembering import arm_of
from prism_core.gateway.traffic.routed import Routed, Routing
from prism_core.gateway.traffic.routes import LiveLine
from prism_core.gateway.traffic.states import State, States
from prism_core.traffic.bandit import Bandit
from prism_core.traffic.learning import NEW, Arm, learn, weights

KIND = "bandit"
# What rewards change is reckoned at once for all that came in this time, and stored so often.
EVERY_S, SAVE_S = 1.0, 5.0
# Weights that have moved by less are not worth telling.
WORTH_TELLING = 0.001

log = structlog.get_logger("prism.bandit")


@attrs.frozen
class ArmInfo:
    """What a bandit knows of one arm, as it is shown. ``mean_reward`` is None before the first."""

    arm: str
    pulls: int
    mean_reward: float | None
    share_percent: float


@attrs.frozen(eq=False)
class Known:
    """A route with a bandit, as it is now.

    Parameters
    ----------
    arms
        By the reference of a share, which version it means.
    led
        The references that get requests at all.
    """

    bandit: Bandit
    arms: Mapping[str, str]
    led: frozenset[str]

    @classmethod
    def of(cls, bandit: Bandit, routed: Routed) -> Known:
        """Return what there is to learn of a route."""
        named = {share.reference(routed.model): share.weight for share in routed.route.split}
        led = frozenset(reference for reference, weight in named.items() if weight > 0)
        return cls(bandit, {one: arm_of(one, routed.lanes) for one in named}, led)


class Bandits:
    """Learns the weights of routes that have a bandit. Made by `open_bandits`.

    Parameters
    ----------
    routing, followers
        What the weights are published to.
    registry
        Knows the routes, and which version a reference means.
    states
        Where what was learned is kept.
    """

    def __init__(self, routing: Routing, registry: Registry, followers: Followers, states: States) -> None:
        self._routing = routing
        self._registry = registry
        self._followers = followers
        self._states = states
        self._learned: dict[str, dict[str, Arm]] = {}
        # Whose: a model that is made again has other versions of the same numbers.
        self._owners: dict[str, Model | None] = {}
        self._known: dict[str, Known] = {}
        self._heard: defaultdict[str, list[Judged]] = defaultdict(list)
        self._unsaved: set[str] = set()
        self._due: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def hear(self, judged: Judged) -> None:
        """Take a reward; of requests that the split did not lead anywhere nothing is learned."""
        if judged.chance > 0 and judged.model in self._known:
            self._heard[judged.model].append(judged)
            if self._due is None:
                self._due = self._loop.call_later(EVERY_S, self.reckon)

    def look(self, routed: Routed) -> None:
        """Hear of a route that is new, or whose lanes are: its weights are there before its first request."""
        model, bandit = routed.model, routed.route.bandit
        self._forget_if_new(model)
        if bandit is not None:
            self._known[model] = Known.of(bandit, routed)
            self._publish(model)
        elif self._known.pop(model, None) is not None:
            self._tell(model, {})

    def shown(self, model: str) -> list[ArmInfo]:
        """Return what is known of a model's arms; none where its route has no bandit."""
        known = self._known.get(model)
        found = self._registry.models.get(model)
        if known is None or found is None or found.route is None:
            return []
        learned, told = self._learned.get(model, {}), self._routing.weights.get(model, {})
        shares: defaultdict[str, float] = defaultdict(float)
        for reference, arm in known.arms.items():
            shares[arm] += 100 * told.get(reference, 0.0)
        arms = {arm: learned.get(arm, NEW) for arm in shares}
        return [
            ArmInfo(arm, one.pulls, one.mean if one.pulls else None, round(shares[arm], 3))
            for arm, one in arms.items()
        ]

    def lines(self, model: Model) -> Iterator[LiveLine]:
        """Tell in words what each share of a split has now, and why; see `Routes.live`."""
        infos = {one.arm: one for one in self.shown(model.name)}
        weights = self._routing.weights.get(model.name, {})
        for reference, arm in self._known[model.name].arms.items() if infos else ():
            one = infos[arm]
            mean = "" if one.mean_reward is None else f", mean reward {one.mean_reward:.3f}"
            of = f"{one.pulls} {'reward' if one.pulls == 1 else 'rewards'}{mean}"
            yield LiveLine("split", f"gets {100 * weights.get(reference, 0.0):.1f} %: {of}", reference)

    def _forget_if_new(self, model: str) -> None:
        """Forget a model that was removed and made again: it has other versions of the same numbers."""
        owner = self._registry.models.get(model)
        if self._owners.setdefault(model, owner) is not owner:
            self._owners[model] = owner
            self._known.pop(model, None)
            self._learned.pop(model, None)

    def reckon(self) -> None:
        """Make weights of what has come."""
        self._due = None
        heard, self._heard = self._heard, defaultdict(list)
        for model, rewards in heard.items():
            if model in self._known and model in self._registry.models:
                self._learn(model, self._known[model], rewards)
                self._publish(model)

    def _learn(self, model: str, known: Known, rewards: list[Judged]) -> None:
        before, arms = self._learned.get(model, {}), set(known.arms.values())
        learned = {arm: before.get(arm, NEW) for arm in arms}
        for one in rewards:
            if one.arm in arms:
                learned = learn(known.bandit, learned, one.arm, one.reward, one.chance)
        there = self._registry.models[model].versions
        others = {arm: one for arm, one in before.items() if _is_there(arm, model, there)}
        self._learned[model] = {**others, **learned}
        self._unsaved.add(model)

    def _publish(self, model: str) -> None:
        known = self._known[model]
        arms = [known.arms[one] for one in known.led]
        reckoned = weights(known.bandit, self._learned.get(model, {}), arms)
        told = {
            one: reckoned[arm] / arms.count(arm) if one in known.led else 0.0
            for one, arm in known.arms.items()
        }
        before = self._routing.weights.get(model, {})
        if before.keys() != told.keys() or any(abs(told[one] - before[one]) >= WORTH_TELLING for one in told):
            self._tell(model, told)

    def _tell(self, model: str, told: Mapping[str, float]) -> None:
        message = Weights({model: dict(told)})
        message.give(self._routing.weights)
        self._followers.tell(message)

    # --- what outlives the process ----------------------------------------------------

    async def load(self) -> None:
        """Know again what was stored."""
        for state in await self._states.load(KIND):
            try:
                self._learned[state.model] = msgspec.json.decode(state.text, type=dict[str, Arm])
            except msgspec.MsgspecError as error:
                log.error("bandit.unreadable", model=state.model, error=str(error))
            self._owners[state.model] = self._registry.models.get(state.model)

    async def save(self) -> None:
        """Store what was learned since this was last done; where that fails it is tried again."""
        unsaved, self._unsaved = self._unsaved, set()
        states = [
            State(model, KIND, "", 0, msgspec.json.encode(self._learned[model]).decode())
            for model in unsaved
            if model in self._learned and model in self._registry.models
        ]
        try:
            if states:
                await self._states.save(*states)
        except Exception:
            self._unsaved |= unsaved
            log.exception("bandit.not_stored")

    async def run(self) -> None:
        """Store what is learned, again and again, until cancelled."""
        while True:
            await asyncio.sleep(SAVE_S)
            await self.save()

    def close(self) -> None:
        """Take what was heard into account."""
        if self._due is not None:
            self._due.cancel()
            self.reckon()


def _is_there(arm: str, model: str, versions: Mapping[int, Any]) -> bool:
    """Return whether an arm is there still: a version of the model, or of another that nobody asks about."""
    name, _, number = arm.partition("/")
    return name != model or (number.isdecimal() and int(number) in versions)


@asynccontextmanager
async def open_bandits(
    desk: Desk, registry: Registry, followers: Followers, states: States
) -> AsyncIterator[Bandits]:
    """Learn from what is judged, until the end; to be opened before routes are followed."""
    bandits = Bandits(desk.routing, registry, followers, states)
    await bandits.load()
    desk.want(Judged, bandits.hear)
    desk.routing.taps.append(bandits.look)
    followers.greetings.append(lambda: Weights({name: dict(of) for name, of in desk.routing.weights.items()}))
    running = asyncio.create_task(bandits.run())
    try:
        yield bandits
    finally:
        running.cancel()
        bandits.close()
        await bandits.save()
