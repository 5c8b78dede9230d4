"""Takes all traffic away from a share that is worse than the control, by itself, once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import attrs
import structlog

from prism_core.audit import Actor
from prism_core.errors import IllegalTransition, PrismError
from prism_core.gateway.auditing import act_as
from prism_core.gateway.registry import Model, Registry
from prism_core.gateway.traffic.changes import Change
from prism_core.gateway.traffic.experiments import Experiments, arm_of
from prism_core.gateway.traffic.routes import Routes
from prism_core.traffic.experiment import Metric
from prism_core.traffic.guarding import worse
from prism_core.traffic.route import Route

GUARD = "guard"
# A change that could not be made is tried again so long after.
AGAIN_S = 5.0

SetRoute = Callable[..., Awaitable[Change]]
Delay = Callable[[float, Callable[[], None]], object]

log = structlog.get_logger("prism.guard")


class Guard:
    """Watches the experiments of all models whose route has a guard.

    A share that is set again after it was removed is watched anew, from nothing: with the set of shares the
    experiment is another one. Whoever insists has to be right only once more than the guard errs.

    Attributes
    ----------
    set_route
        See `Routes.set`.
    delay
        Calls a function after so many seconds.
    """

    def __init__(
        self,
        experiments: Experiments,
        routes: Routes,
        registry: Registry,
        delay: Delay,
    ) -> None:
        self._experiments = experiments
        self.set_route: SetRoute = routes.set
        self._registry = registry
        self.delay = delay
        self._acting: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def consider(self, name: str, arm: str, metric: Metric) -> None:
        """Look at an arm after a record that may have made it worse."""
        model, trial = self._registry.models.get(name), self._experiments.trials.get(name)
        if model is None or trial is None or model.route is None or model.route.guard is None:
            return
        if name in self._acting or not self._serves(model, trial.control):
            return
        why = worse(trial, model.route.guard, arm, metric)
        if why:
            self._acting.add(name)
            told = f"{arm} is worse than {trial.control}: {why}."
            task = asyncio.create_task(self._act(model, model.revision, arm, told))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _serves(self, model: Model, arm: str) -> bool:
        """Return whether an arm takes predictions: nothing is to be led to one that does not."""
        try:
            return self._registry.find(arm).lane is not None
        except PrismError:
            return False

    async def _act(self, model: Model, revision: int, arm: str, why: str) -> None:
        act_as(Actor(GUARD))
        name = model.name
        try:
            await self._remove(model, revision, arm, why)
        except IllegalTransition:
            pass  # somebody else has changed the route meanwhile, and what was found says nothing of theirs
        except PrismError as error:
            log.error("guard.failed", model=name, arm=arm, error=error.message)
            self.delay(AGAIN_S, lambda: self._acting.discard(name))
            return
        except Exception:  # one fault must not end the watch
            log.exception("guard.failed", model=name, arm=arm)
            self.delay(AGAIN_S, lambda: self._acting.discard(name))
            return
        self._acting.discard(name)

    async def _remove(self, model: Model, revision: int, arm: str, why: str) -> None:
        name, rest = model.name, without(self._registry, model, arm)
        if rest is None:
            return
        change = await self.set_route(name, rest, why=why, revision=revision)
        # Here, not with the next record: an undo before that would go on with what it was removed for.
        self._experiments.current(name, change.at)
        version = self._registry.find(arm).manifest.version
        self._registry.tell("guard.acted", name, version, arm=arm, why=why, seq=change.seq)

    async def settle(self) -> None:
        """Return when what was begun is done."""
        await asyncio.gather(*self._tasks)


def without(registry: Registry, model: Model, arm: str) -> Route | None:
    """Return a model's route without a share; None where nothing would be left.

    Rules, fallbacks and shadows that lead to it stay: somebody has named it there, not a draw.
    """
    route = model.route
    if route is None:
        return None
    left = tuple(one for one in route.split if arm_of(registry, one.reference(model.name)) != arm)
    weighty = [share.reference("") for share in left if share.weight > 0]
    if not weighty:
        return None
    fallback = route.fallback
    if len(weighty) == 1 and not route.rules:
        # Where one share answers all, it is no fallback any more, and a route that says so is refused.
        fallback = tuple(one for one in fallback if one.value is not None or one.reference("") != weighty[0])
    return attrs.evolve(route, split=left, fallback=fallback)


@asynccontextmanager
async def open_guard(experiments: Experiments, routes: Routes, registry: Registry) -> AsyncIterator[Guard]:
    """Watch the experiments."""
    guard = Guard(experiments, routes, registry, asyncio.get_running_loop().call_later)
    experiments.consider = guard.consider
    try:
        yield guard
    finally:
        await guard.settle()
