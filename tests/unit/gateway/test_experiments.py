"""What the leader adds up of splits, and what its guard does; records are made here, nothing is served."""

from __future__ import annotations

import itertools

import attrs
import pytest

from prism_core.errors import AuditFailed, StorageFull
from prism_core.gateway.registry import Model
from prism_core.gateway.traffic.comparisons import live_lines, shown
from prism_core.gateway.traffic.desk import Desk as TrafficDesk
from prism_core.gateway.traffic.experiments import Experiments, fails, open_experiments
from prism_core.gateway.traffic.guard import Guard, open_guard, without
from prism_core.gateway.traffic.kinds import Compared, Judged, RoutedCall
from prism_core.gateway.traffic.states import States
from prism_core.traffic.experiment import Experiment, TrafficGuard
from prism_core.traffic.route import Route
from prism_core.traffic.statistics.rates import Rate
from prism_core.traffic.targets import Fallback, Rule, Share
from tests.unit.gateway.test_routes import point, routes_of, two

__all__ = ["two"]

SPLIT = Route((Share(1, weight=90), Share(2, weight=10)))
GUARDED = attrs.evolve(SPLIT, guard=TrafficGuard())
OLD, NEW = "churn/1", "churn/2"


@attrs.define
class Rig:
    """A registry with two versions, its routes and experiments; ``call`` makes a record."""

    registry: object
    routes: object
    experiments: Experiments
    desk: TrafficDesk
    guard: Guard
    told: list
    clock: object = attrs.field(factory=lambda: itertools.count(1000.0, 0.05))

    @property
    def model(self):
        return self.registry.model("churn")

    def call(self, arm, *, status=200, revision=None, total_s=0.01, **more):
        made = {"answered": arm, "code": "ok", "failure": "", "cache": "bypass", "rule": 0} | more
        self.desk.hear(
            RoutedCall(
                next(self.clock),
                "r",
                "churn",
                self.model.revision if revision is None else revision,
                arm,
                status=status,
                total_s=total_s,
                **made,
            )
        )

    def judge(self, arm, reward, *, chance=0.5):
        self.desk.hear(Judged(next(self.clock), "r", "churn", self.model.revision, arm, reward, chance))

    def sums(self, arm, metric="errors"):
        trial = self.experiments.trials.get("churn")
        return trial and trial.rate(metric, arm)

    def fail(self, arm=NEW, n=60):
        for _ in range(n):
            self.call(arm, status=500)
            self.call(OLD)


@pytest.fixture
async def rig(two):
    traffic, routes = TrafficDesk(), routes_of(two)
    states = States(two.operator.records)
    opened = open_experiments(two.registry, states, traffic)
    async with opened as experiments, open_guard(experiments, routes, two.registry) as guard:
        yield Rig(two.registry, routes, experiments, traffic, guard, two.events)


# --- what is added up --------------------------------------------------------------------------


async def test_every_split_is_an_experiment(rig):
    await rig.routes.set("churn", SPLIT)
    rig.call(OLD)
    rig.call(NEW, status=500)
    rig.judge(NEW, 0.25)

    trial = rig.experiments.trials["churn"]
    assert (trial.control, trial.others) == (OLD, (NEW,))
    assert rig.sums(NEW) == Rate(1, 1)
    assert rig.sums(NEW, "labels") == Rate(1, 0.25)


@pytest.mark.parametrize(
    "route",
    [None, Route((Share(1),)), Route((Share(1), Share(2, weight=0)))],
    ids=["none", "one", "no-weight"],
)
async def test_where_nothing_is_parted_nothing_is_compared(rig, route):
    await rig.routes.set("churn", route)
    rig.call(OLD)

    assert rig.experiments.trials == {}
    assert "Nothing is compared" in shown(rig.registry, "churn", None, None).says


@pytest.mark.parametrize(
    "record",
    [{"rule": 1}, {"status": 499}, {"revision": 0}, {"arm": "churn/7"}],
    ids=["by-rule", "nobody-waited", "before-it-began", "another-version"],
)
async def test_what_no_draw_of_this_experiment_made_is_left_out(rig, record):
    await rig.routes.set("churn", SPLIT)
    rig.call(**({"arm": NEW} | record))
    rig.judge(NEW, 1.0, chance=0.0)

    assert not rig.sums(NEW) or rig.sums(NEW) == Rate()


async def test_latencies_are_those_of_the_version_s_own_work(rig):
    await rig.routes.set("churn", SPLIT)
    rig.call(NEW, cache="hit")
    rig.call(NEW, failure="model_failed", answered=OLD)
    rig.call(NEW, status=422)
    rig.call(NEW, cache="miss")

    assert rig.experiments.trials["churn"].sketches[NEW].count == 1
    assert rig.sums(NEW) == Rate(4, 2)


async def test_agreement_is_how_many_rows_agree_with_a_shadow(rig):
    await rig.routes.set("churn", SPLIT)
    facts = (1.0, "r", "churn", rig.model.revision, NEW)
    rig.desk.hear(Compared(*facts, NEW, "churn/1", 4, 3, "", "ok", "ok", 0.1, 0.1))
    rig.desk.hear(Compared(*facts, NEW, "churn/1", 0, 0, "failed", "ok", "x", 0.1, 0.1))
    rig.desk.hear(Compared(*facts, OLD, "churn/1", 4, 4, "", "ok", "ok", 0.1, 0.1))  # a fallback's

    assert rig.sums(NEW, "agreement") == Rate(1, 0.75)


async def test_other_weights_go_on_and_other_shares_begin_anew(rig):
    await rig.routes.set("churn", SPLIT)
    rig.call(NEW)
    await rig.routes.set("churn", Route((Share(1), Share(2))))
    rig.call(NEW)
    assert rig.sums(NEW).n == 2
    assert len(rig.experiments.trials["churn"].periods) == 2
    assert rig.experiments.trials["churn"].control == OLD

    await rig.routes.set("churn", Route((Share(2),)))
    rig.call(NEW)
    assert rig.experiments.trials == {}

    await rig.routes.set("churn", SPLIT)
    rig.call(NEW)
    assert rig.sums(NEW).n == 1


async def test_the_control_stays_when_the_other_grows_and_moves_when_it_is_named(rig):
    await rig.routes.set("churn", SPLIT)
    rig.call(NEW)
    await rig.routes.set("churn", Route((Share(1, weight=1), Share(2, weight=99))))
    rig.call(NEW)
    assert rig.experiments.trials["churn"].control == OLD

    await rig.routes.set("churn", attrs.evolve(SPLIT, experiment=Experiment(control=2)))
    rig.call(NEW)
    assert rig.experiments.trials["churn"].control == NEW
    assert rig.sums(NEW).n == 1


async def test_an_alias_is_the_version_that_it_means_and_begins_anew_with_another(two, rig):
    await point(two, "champion", 1)
    await rig.routes.set("churn", Route((Share("champion", weight=9), Share(2))))
    rig.call(OLD)
    assert rig.experiments.trials["churn"].arms == (OLD, NEW)
    assert [one.name for one in shown(rig.registry, "churn", rig.experiments.trials["churn"], None).arms] == [
        "@champion",
        "2",
    ]

    await point(two, "champion", 2)
    assert rig.experiments.current("churn", 0.0) is None
    rig.call(NEW)
    assert rig.experiments.trials == {}

    await point(two, "champion", 1)
    rig.call(OLD)
    assert rig.sums(OLD) == Rate(1, 0)


async def test_sums_survive_a_restart(two, rig):
    await rig.routes.set("churn", SPLIT)
    for _ in range(30):
        rig.call(NEW)
        rig.call(OLD)
    await rig.experiments.save()
    before = rig.experiments.trials["churn"]
    before.resume()

    async with open_experiments(rig.registry, States(two.operator.records), TrafficDesk()) as again:
        assert again.current("churn", 0.0) == before


async def test_what_was_stored_goes_with_the_experiment(two, rig):
    states = States(two.operator.records)
    await rig.routes.set("churn", SPLIT)
    rig.call(NEW)
    await rig.experiments.save()
    assert len(await states.load("experiment")) == 1

    await rig.routes.set("churn", None)
    rig.call(OLD)
    await rig.experiments.save()
    assert await states.load("experiment") == []


async def test_what_was_added_up_goes_with_the_model(rig):
    await rig.routes.set("churn", SPLIT)
    rig.call(NEW)
    del rig.registry.models["churn"]
    await rig.experiments.save()

    assert rig.experiments.trials == {}


async def test_it_is_begun_anew_when_it_is_asked_to(rig):
    await rig.routes.set("churn", SPLIT)
    rig.call(NEW)
    rig.experiments.restart("churn", 5.0)

    assert rig.sums(NEW) == Rate()
    assert rig.experiments.trials["churn"].begun == 5.0


@pytest.mark.parametrize(
    ("status", "failure", "sticky", "expected"),
    [
        (200, "", False, False),
        (200, "deadline_exceeded", False, True),
        (500, "", True, True),
        (422, "", False, True),
        (422, "", True, False),
    ],
)
def test_what_is_a_failure_of_a_version(status, failure, sticky, expected):
    call = RoutedCall(0.0, "r", "churn", 1, NEW, "", status, "x", 0.1, failure)

    assert fails(call, sticky=sticky) == expected


# --- the guard ---------------------------------------------------------------------------------


async def test_a_share_that_fails_is_taken_away_and_everybody_is_told(rig):
    await rig.routes.set("churn", GUARDED)
    rig.fail()
    await rig.guard.settle()

    assert rig.model.route == attrs.evolve(GUARDED, split=(Share(1, weight=90),))
    (last, *_) = await rig.routes.history("churn")
    assert (last.actor, last.action) == ("guard", "route.set")
    assert "100.00% of its requests failed" in last.why
    (event,) = [one for one in rig.told if one.name == "guard.acted"]
    assert (event.model, event.version, event.facts["arm"], event.facts["seq"]) == ("churn", 2, NEW, last.seq)
    assert shown(rig.registry, "churn", None, last).removed.why == last.why


async def test_an_undo_brings_it_back_and_it_is_watched_anew(rig):
    await rig.routes.set("churn", GUARDED)
    rig.fail()
    await rig.guard.settle()
    await rig.routes.undo("churn")

    assert rig.model.route == GUARDED
    for _ in range(100):
        rig.call(NEW)
        rig.call(OLD)
    await rig.guard.settle()
    assert rig.model.route == GUARDED
    assert rig.sums(NEW) == Rate(100, 0)


async def test_failures_that_began_before_it_came_back_say_nothing(rig):
    await rig.routes.set("churn", GUARDED)
    revision = rig.model.revision
    rig.fail()
    await rig.guard.settle()
    await rig.routes.undo("churn")
    for _ in range(100):
        rig.call(NEW, status=500, revision=revision)
    await rig.guard.settle()

    assert rig.model.route == GUARDED


@pytest.mark.parametrize(
    "route",
    [SPLIT, attrs.evolve(GUARDED, guard=TrafficGuard(metrics=("latency",)))],
    ids=["no-guard", "another-metric"],
)
async def test_it_does_what_it_was_asked_for_alone(rig, route):
    await rig.routes.set("churn", route)
    rig.fail()
    await rig.guard.settle()

    assert rig.model.route == route


async def test_a_failing_control_is_not_helped(rig):
    await rig.routes.set("churn", GUARDED)
    for _ in range(200):
        rig.call(OLD, status=500)
        rig.call(NEW, status=500)
    for _ in range(200):
        rig.call(NEW, status=500)
    await rig.guard.settle()

    assert rig.model.route == GUARDED


async def test_nothing_is_led_to_a_control_that_is_not_served(two, rig):
    await rig.routes.set("churn", GUARDED)
    rig.call(OLD)
    rig.registry.version("churn", 1).lane = None
    rig.fail()
    await rig.guard.settle()

    assert rig.model.route == GUARDED


async def test_the_share_that_stays_is_its_own_fallback_no_more(rig):
    """Such a route would be refused, and the guard could do nothing."""
    value = Fallback(value={"p": 0})
    await rig.routes.set("churn", attrs.evolve(GUARDED, fallback=(Fallback(1), value)))
    rig.fail()
    await rig.guard.settle()

    assert rig.model.route.split == (Share(1, weight=90),)
    assert rig.model.route.fallback == (value,)


async def test_the_others_keep_their_weights_and_their_fallbacks(rig):
    left = Route((Share(1, weight=60), Share(3, weight=30)), fallback=(Fallback(1),))
    model = Model("churn", route=attrs.evolve(left, split=(*left.split, Share(2, weight=10))))

    assert without(rig.registry, model, NEW) == left
    assert without(rig.registry, Model("churn", route=Route((Share(2), Share(1, weight=0)))), NEW) is None


async def test_rules_that_name_the_share_stay(rig):
    rules = (Rule(2, when="true"),)
    await rig.routes.set("churn", attrs.evolve(GUARDED, rules=rules))
    rig.fail()
    await rig.guard.settle()

    assert (len(rig.model.route.split), rig.model.route.rules) == (1, rules)


async def test_a_route_that_somebody_has_changed_meanwhile_is_theirs(rig):
    await rig.routes.set("churn", GUARDED)
    set_route = rig.routes.set

    async def late(*args, **more):
        rig.guard.set_route = set_route
        await set_route("churn", attrs.evolve(GUARDED, timeout_ms=5.0))
        return await set_route(*args, **more)

    rig.guard.set_route = late
    rig.fail()
    await rig.guard.settle()

    assert rig.model.route == attrs.evolve(GUARDED, timeout_ms=5.0)
    rig.fail()
    await rig.guard.settle()
    assert len(rig.model.route.split) == 1


@pytest.mark.parametrize("error", [AuditFailed("The disk is full."), ZeroDivisionError("a fault of ours")])
async def test_a_change_that_cannot_be_made_is_tried_again_later(rig, error):
    await rig.routes.set("churn", GUARDED)
    waiting = []
    rig.guard.delay = lambda after_s, what: waiting.append(what)

    async def refused(*args, **more):
        raise error

    rig.guard.set_route = refused
    rig.fail()
    await rig.guard.settle()
    rig.guard.set_route = rig.routes.set
    rig.fail(n=5)
    await rig.guard.settle()
    assert rig.model.route == GUARDED

    waiting.pop()()
    rig.fail(n=1)
    await rig.guard.settle()
    assert len(rig.model.route.split) == 1


async def test_whom_it_watches_is_shown(rig):
    await rig.routes.set("churn", GUARDED)
    rig.call(NEW)

    (line,) = live_lines(rig.experiments, rig.model)

    assert (line.key, line.target) == ("guard", NEW)
    assert line.text == "watches churn/2: not worse than churn/1 in 1 request"


async def test_a_model_that_was_made_again_is_compared_from_nothing(rig):
    """Its versions have the numbers of others that are gone."""
    await rig.routes.set("churn", SPLIT)
    rig.call(NEW)
    await rig.routes.set("churn", None)
    rig.registry.models["churn"] = attrs.evolve(rig.model)
    await rig.routes.set("churn", SPLIT)

    rig.call(NEW)

    assert rig.experiments.trials["churn"].rate("errors", NEW).n == 1


async def test_sums_that_cannot_be_stored_are_tried_again(two, rig, monkeypatch):
    await rig.routes.set("churn", SPLIT)
    rig.call(NEW)

    async def full(self, *states, durable=False):
        raise StorageFull("The disk is full.")

    with monkeypatch.context() as patched:
        patched.setattr(States, "save", full)
        await rig.experiments.save()

    await rig.experiments.save()
    assert len(await States(two.operator.records).load("experiment")) == 1


async def test_whom_it_watches_is_of_the_route_as_it_is_now(rig, two):
    """Also before the first request by it."""
    await two.upload(b"third")
    await rig.routes.set("churn", GUARDED)
    rig.call(NEW)
    await rig.routes.set("churn", attrs.evolve(GUARDED, split=(Share(1), Share(3))))

    (line,) = live_lines(rig.experiments, rig.model)

    assert line.text == "watches churn/3: not worse than churn/1 in 0 requests"
