"""An experiment as it is shown: what was added up, what it means, and what to do next."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import attrs

from prism_core.gateway.registry import Model, Registry
from prism_core.gateway.traffic.changes import Change
from prism_core.gateway.traffic.experiments import Experiments, arm_of
from prism_core.gateway.traffic.guard import GUARD
from prism_core.gateway.traffic.routes import LiveLine
from prism_core.traffic.experiment import Experiment
from prism_core.traffic.trial import Trial, proportions
from prism_core.traffic.verdicts import Line, Verdict, lines_of, overall


@attrs.frozen
class Arm:
    """A version that is compared.

    ``name`` is what ``prism route --split`` calls it, ``percent`` its part of the traffic now, ``requests``
    how many it had.
    """

    arm: str
    name: str
    percent: float
    requests: int


@attrs.frozen
class ArmVerdict:
    """What is to be thought of one share beside the control, and the command that acts on it; "" for none."""

    arm: str
    verdict: Verdict
    says: str
    next: str


@attrs.frozen
class GuardInfo:
    """What the guard does: it watches since the experiment began, or has taken a share away."""

    alpha: float
    metrics: Sequence[str]


@attrs.frozen
class GuardDeed:
    """What the guard did last: when, why, and the number of the change that `prism undo` takes back."""

    at: float
    why: str
    seq: int


@attrs.frozen
class ExperimentInfo:
    """An experiment so far.

    Parameters
    ----------
    model, revision
        Whose, and the number of its route now.
    begun
        When, in Unix seconds; None where nothing is compared.
    alpha
        With what probability any of the lines is ever wrong.
    control
        What the others are compared with; "" where nothing is compared.
    arms
        All versions, the control first.
    lines, verdicts
        A line for each share and metric, and what they mean together.
    guard
        None where the route has none.
    removed
        What the guard did, where that was the last change of the route.
    says
        All in a sentence.
    """

    model: str
    revision: int
    begun: float | None
    alpha: float
    control: str
    arms: list[Arm]
    lines: list[Line]
    verdicts: list[ArmVerdict]
    guard: GuardInfo | None
    removed: GuardDeed | None
    says: str


def shown(registry: Registry, name: str, trial: Trial | None, last: Change | None) -> ExperimentInfo:
    """Return what there is to be shown of a model; ``last`` is the last change of its route."""
    model = registry.model(name)
    route = model.route
    asked = (route.experiment if route else None) or Experiment()
    guard = GuardInfo(route.guard.alpha, route.guard.metrics) if route and route.guard else None
    removed = GuardDeed(last.at, last.why, last.seq) if last and last.actor == GUARD else None
    if trial is None:
        says = f"Nothing is compared: the traffic of {name!r} is not parted between versions."
        return ExperimentInfo(name, model.revision, None, asked.alpha, "", [], [], [], guard, removed, says)
    names = _Names(registry, model)
    lines = lines_of(trial, asked, names)
    verdicts = [_verdict(name, arm, trial, lines, names) for arm in trial.others]
    return ExperimentInfo(
        name,
        model.revision,
        trial.begun,
        asked.alpha,
        trial.control,
        list(_arms(trial, names)),
        lines,
        verdicts,
        guard,
        removed,
        " ".join(one.says for one in verdicts),
    )


def live_lines(experiments: Experiments, model: Model) -> Iterator[LiveLine]:
    """Yield whom the guard of a model watches, as `prism route` shows it."""
    if model.route is None or model.route.guard is None:
        return
    # As the route is now: no request may have come since it was set.
    trial = experiments.current(model.name, time.time())
    if trial is None:
        return
    for arm in trial.others:
        number = round(trial.rate("errors", arm).n)
        requests = "1 request" if number == 1 else f"{number:,} requests"
        yield LiveLine("guard", f"watches {arm}: not worse than {trial.control} in {requests}", arm)


class _Names:
    """What ``--split`` calls the arms: ``4`` or ``@champion`` of the route's model, else ``rf@champion``."""

    def __init__(self, registry: Registry, model: Model) -> None:
        self._names: dict[str, str] = {}
        for share in model.route.split if model.route else ():
            arm = arm_of(registry, share.reference(model.name))
            alias = f"@{share.version}" if isinstance(share.version, str) else share.version
            self._names.setdefault(arm, str(alias) if alias is not None else share.model)

    def __call__(self, arm: str) -> str:
        """Return the name of an arm."""
        return self._names.get(arm, arm)


def _arms(trial: Trial, names: _Names) -> Iterator[Arm]:
    parts = proportions(trial.weights)
    for arm in trial.arms:
        percent, requests = 100 * parts.get(arm, 0.0), round(trial.rate("errors", arm).n)
        yield Arm(arm, names(arm), round(percent, 3), requests)


def _verdict(model: str, arm: str, trial: Trial, lines: Sequence[Line], names: _Names) -> ArmVerdict:
    found = overall([line for line in lines if line.arm == arm])
    other, control = names(arm), names(trial.control)
    says = _SAYS[found].format(other=other, control=control)
    chosen = {"better": other, "same": other, "worse": control}.get(found, "")
    return ArmVerdict(arm, found, says, f"prism route {model} --split {chosen}=100" if chosen else "")


_SAYS: dict[Verdict, str] = {
    "better": "{other} is better than {control}.",
    "worse": "{other} is worse than {control}.",
    "mixed": "{other} is better than {control} in some and worse in others: weigh what matters.",
    "same": "There is no practical difference between {other} and {control}.",
    "unclear": "Keep on: it is not clear yet which of {other} and {control} is better.",
}
