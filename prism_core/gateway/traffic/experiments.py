"""The experiments of the leader: what all gateways report is added up for each model with a split.

Every split of two versions or more is an experiment, whether its route says so or not: to add a record up
costs about three microseconds, and nobody knows before whether they will want to compare. Nothing here has a
clock or a timer of its own but one, while there is something new to store.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager

import msgspec
import structlog

from prism_core.errors import PrismError
from prism_core.gateway.followers import COMPUTED
from prism_core.gateway.registry import Model, Registry
from prism_core.gateway.traffic.desk import Desk
from prism_core.gateway.traffic.kinds import Compared, Judged, RoutedCall
from prism_core.gateway.traffic.states import State, States
from prism_core.traffic.experiment import Metric
from prism_core.traffic.trial import Trial

KIND = "experiment"
# What a crash may cost of the sums.
SAVE_S = 10.0
# Nobody waited for the answer any more: it says nothing of who was asked.
LEFT = 499

# Gets model, arm and metric where a record may have made a difference.
Consider = Callable[[str, str, Metric], None]

log = structlog.get_logger("prism.experiments")


class Experiments:
    """The trials of all models. Made by `open_experiments`.

    Attributes
    ----------
    trials
        By model; only of models whose route parts their traffic.
    consider
        Called after each record by which a share may have become worse.
    """

    def __init__(self, registry: Registry, states: States) -> None:
        self.trials: dict[str, Trial] = {}
        self.consider: Consider = lambda model, arm, metric: None
        self._registry = registry
        self._states = states
        self._seen: dict[str, int] = {}
        # Whose trials these are: a model that is made again has other versions of the same numbers.
        self._owners: dict[str, Model] = {}
        # What was found last where nothing is compared: not to be looked for with each request.
        self._alone: dict[str, tuple[int, str]] = {}
        self._unsaved: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._saving: set[asyncio.Task[None]] = set()

    # --- what is heard ------------------------------------------------------------------

    def hear_call(self, call: RoutedCall) -> None:
        """Add a request up, if the split has drawn it."""
        if call.rule or call.status == LEFT:
            return
        trial = self._trial(call.model, call.revision, call.arm, call.at)
        if trial is None:
            return
        failed = fails(call, sticky=self._is_sticky(call.model))
        own = not failed and call.status < 400 and not call.failure and call.cache in COMPUTED
        total_s = call.total_s if own else None
        ended = trial.called(call.revision, call.arm, call.at, failed=failed, total_s=total_s)
        if failed:
            self._consider(trial, call.model, call.arm, "errors")
        if ended:
            self._consider(trial, call.model, call.arm, "latency")

    def hear_judged(self, judged: Judged) -> None:
        """Add up what an answer was worth."""
        trial = self._trial(judged.model, judged.revision, judged.arm, judged.at) if judged.chance else None
        if trial is not None:
            trial.rated("labels", judged.revision, judged.arm, judged.reward)
            self._consider(trial, judged.model, judged.arm, "labels")

    def hear_compared(self, compared: Compared) -> None:
        """Add up how many rows of an answer agree with those of a shadow."""
        if not compared.rows or compared.live != compared.arm:
            return
        trial = self._trial(compared.model, compared.revision, compared.arm, compared.at)
        if trial is not None:
            trial.rated("agreement", compared.revision, compared.arm, compared.agreed / compared.rows)
            self._consider(trial, compared.model, compared.arm, "agreement")

    def _consider(self, trial: Trial, model: str, arm: str, metric: Metric) -> None:
        """Ask about an arm after each of its records, and about all after a slice.

        What is new of the control alone makes hardly a difference.
        """
        if arm != trial.control:
            self.consider(model, arm, metric)
        elif metric == "latency":
            for other in trial.others:
                self.consider(model, other, metric)

    # --- trials -------------------------------------------------------------------------

    def current(self, name: str, at: float) -> Trial | None:
        """Return the trial of a model as its route is now; None where nothing is compared."""
        model = self._registry.model(name)
        weights = weights_of(self._registry, model)
        if self._owners.get(name, model) is not model:
            self._end(name)
        trial = self.trials.get(name)
        if len(weights) < 2:
            self._end(name)
            return None
        wanted = self._wanted_control(model)
        moved = trial is not None and wanted in weights and wanted != trial.control
        if trial is None or moved or set(trial.arms) != set(weights):
            return self._begin(name, control_of(weights, wanted), weights, at)
        trial.weigh(weights, model.revision)
        self._seen[name] = model.revision
        return trial

    def restart(self, name: str, at: float) -> Trial | None:
        """Forget what was added up, and begin anew."""
        self._registry.model(name)
        self._end(name)
        return self.current(name, at)

    def _trial(self, name: str, revision: int, arm: str, at: float) -> Trial | None:
        """Return the trial that a record belongs to; None for none, or one that is over."""
        model = self._registry.models.get(name)
        if model is None:
            self._end(name)
            return None
        trial = self.trials.get(name)
        if trial is None and self._alone.get(name) == (model.revision, arm):
            return None
        if trial is None or self._seen.get(name) != model.revision or arm not in trial.arms:
            trial = self.current(name, at)
        if trial is None:
            self._alone[name] = (model.revision, arm)
            return None
        if revision < trial.since or arm not in trial.arms:
            return None
        self._save_soon(name)
        return trial

    def _begin(self, name: str, control: str, weights: Mapping[str, float], at: float) -> Trial:
        self._end(name)
        model = self._owners[name] = self._registry.model(name)
        trial = self.trials[name] = Trial.of(control, weights, model.revision, at)
        self._seen[name] = model.revision
        log.info("experiment.began", model=name, control=control, others=list(trial.others))
        self._save_soon(name)
        return trial

    def _end(self, name: str) -> None:
        if self.trials.pop(name, None) is not None:
            self._seen.pop(name, None)
            self._owners.pop(name, None)
            self._save_soon(name)

    def _wanted_control(self, model: Model) -> str:
        control = model.route.experiment.control if model.route and model.route.experiment else None
        if control is None:
            return ""
        reference = f"{model.name}/{control}" if isinstance(control, int) else f"{model.name}@{control}"
        return arm_of(self._registry, reference)

    def _is_sticky(self, name: str) -> bool:
        route = self._registry.models[name].route
        return route is not None and bool(route.sticky)

    # --- kept ---------------------------------------------------------------------------

    async def load(self) -> None:
        """Go on with what was stored."""
        for state in await self._states.load(KIND):
            try:
                trial = msgspec.json.decode(state.text, type=Trial)
            except msgspec.MsgspecError as error:
                log.warning("experiment.unreadable", model=state.model, error=str(error))
                continue
            trial.resume()
            self.trials[state.model] = trial
            self._owners[state.model] = self._registry.model(state.model)

    async def save(self) -> None:
        """Store what is new; where that fails it is tried again: a full disk must stop nothing."""
        names, self._unsaved = self._unsaved, set()
        try:
            await self._store(names)
        except Exception:
            self._unsaved |= names
            log.exception("experiment.not_saved")

    async def _store(self, names: Iterable[str]) -> None:
        for name in names:
            if name not in self._registry.models:
                self._end(name)
            trial = self.trials.get(name)
            await self._states.forget(KIND, name, below=trial.since if trial else None)
            if trial:
                text = msgspec.json.encode(trial).decode()
                await self._states.save(State(name, KIND, "", trial.since, text))

    def _save_soon(self, name: str) -> None:
        self._unsaved.add(name)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SAVE_S, self._save)

    def _save(self) -> None:
        self._timer = None
        task = asyncio.create_task(self.save())
        self._saving.add(task)
        task.add_done_callback(self._saving.discard)

    async def close(self) -> None:
        """Store what there is."""
        if self._timer:
            self._timer.cancel()
        await asyncio.gather(*self._saving)
        await self.save()


@asynccontextmanager
async def open_experiments(registry: Registry, states: States, desk: Desk) -> AsyncIterator[Experiments]:
    """Add up what the desk hears; at the end it is stored."""
    experiments = Experiments(registry, states)
    await experiments.load()
    desk.want(RoutedCall, experiments.hear_call)
    desk.want(Judged, experiments.hear_judged)
    desk.want(Compared, experiments.hear_compared)
    try:
        yield experiments
    finally:
        await experiments.close()


def fails(call: RoutedCall, *, sticky: bool) -> bool:
    """Return whether the chosen version failed a request.

    What the caller did wrong counts too: a version that refuses what the control takes is worse. Not where
    callers stick to their share: there, one who always sends what nobody can read would be one arm's trouble
    alone, by chance.
    """
    if call.failure or call.status >= 500:
        return True
    return call.status >= 400 and not sticky


def weights_of(registry: Registry, model: Model) -> dict[str, float]:
    """Return the weights of the versions that a model's traffic is parted among, by their references."""
    route, weights = model.route, dict[str, float]()
    if route is None or route.ensemble is not None:
        return weights
    for share in route.split:
        if share.weight > 0:
            arm = arm_of(registry, share.reference(model.name))
            weights[arm] = weights.get(arm, 0.0) + share.weight
    return weights


def arm_of(registry: Registry, reference: str) -> str:
    """Return the version that a reference means now: ``churn/4``; itself where it means nothing."""
    try:
        return registry.find(reference).name
    except PrismError:
        return reference


def control_of(weights: Mapping[str, float], wanted: str = "") -> str:
    """Return what the others are compared with: what the route says, else the largest weight."""
    return wanted if wanted in weights else max(weights, key=lambda arm: weights[arm])
