"""Routes set, stored, taken back, beside aliases and uploads; the supervisor starts nothing."""

from __future__ import annotations

import asyncio
import random

import attrs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.errors import IllegalTransition, InvalidRoute, ModelNotFound, StorageFailed, StorageFull
from prism_core.gateway.followers import Followers
from prism_core.gateway.registry import LATEST
from prism_core.gateway.traffic.changes import Change, Ways
from prism_core.gateway.traffic.desk import Desk as TrafficDesk
from prism_core.gateway.traffic.leading import ways_of
from prism_core.gateway.traffic.leads import check_alias_unrouted, check_unrouted
from prism_core.gateway.traffic.routes import LiveLine, Routes, redoable, undoable
from prism_core.gateway.traffic.showing import change_infos, moved, route_info, traffic_of, warnings_of
from prism_core.gateway.traffic.states import State, States
from prism_core.traffic.hedge import Hedge
from prism_core.traffic.moves import Move
from prism_core.traffic.route import Route
from prism_core.traffic.targets import Fallback, Shadow, Share
from tests.unit.gateway.conftest import ignore, open_desk

CANARY = Route(
    (Share(1, weight=90), Share(2, weight=10)), "header:X-User", fallback=(Fallback(value={"p": 0}),)
)


def routes_of(desk):
    TrafficDesk().routing.serve(desk.registry)
    return Routes(desk.operator.records, desk.registry, Followers(desk.registry, ignore), desk.uploads.audit)


@pytest.fixture
async def two(desk):
    """Two versions of churn, the second is latest."""
    await desk.upload(b"one")
    await desk.upload(b"two")
    return desk


@pytest.fixture
def routes(two):
    return routes_of(two)


async def point(desk, alias, number):
    model = desk.registry.model("churn")
    async with desk.registry.lock("churn"):
        await desk.operator.point(model, alias, model.versions[number])


async def stored(desk):
    (row,) = await desk.operator.records.models()
    return row


async def test_a_route_is_followed_and_stored(two, routes):
    change = await routes.set("churn", CANARY, why="canary")

    assert two.registry.lanes["churn"].route == CANARY
    assert ((await stored(two)).route, (await stored(two)).revision) == (CANARY, change.seq)
    assert (change.before.route, change.after.route, change.why) == (None, CANARY, "canary")


async def test_a_route_is_there_after_a_restart(tmp_path):
    async with open_desk(tmp_path) as desk:
        await desk.upload(b"one")
        await desk.upload(b"two")
        change = await routes_of(desk).set("churn", CANARY)

    async with open_desk(tmp_path) as desk:
        model = desk.registry.model("churn")
        assert (model.route, model.revision) == (CANARY, change.seq)


async def test_the_same_again_is_no_change(routes):
    await routes.set("churn", CANARY)
    before = await routes.history("churn")

    await routes.set("churn", CANARY)

    assert await routes.history("churn") == before


@pytest.mark.parametrize(
    ("route", "told"),
    [
        (Route((Share(9),)), "no version 9; it has 1, 2"),
        (Route((Share("champion"),)), "no alias 'champion'"),
        (Route(fallback=(Fallback(model="rf"),)), "no model 'rf'"),
    ],
)
async def test_a_route_to_nowhere_is_refused(two, routes, route, told):
    with pytest.raises(InvalidRoute, match=told):
        await routes.set("churn", route)

    assert two.registry.model("churn").route is None


async def test_a_stopped_version_joins_no_route_but_may_stay_in_one(two, routes):
    await routes.set("churn", CANARY)
    await two.operator.stop(two.registry.version("churn", 2))

    await routes.set("churn", attrs.evolve(CANARY, timeout_ms=5.0))
    await routes.set("churn", None)

    with pytest.raises(InvalidRoute, match="STOPPED") as refused:
        await routes.set("churn", CANARY)
    assert refused.value.hint == "prism start churn --version 2"


async def test_what_a_route_leads_to_does_not_go(two, routes):
    await two.upload(b"other", name="rf")
    await routes.set("rf", Route(fallback=(Fallback(model="churn/1"),)))
    await routes.set("churn", CANARY)

    for number in (1, 2):
        with pytest.raises(IllegalTransition, match="leads to churn/"):
            check_unrouted(two.registry, [two.registry.version("churn", number)])
    with pytest.raises(IllegalTransition, match="'rf'"):
        check_unrouted(two.registry, two.registry.model("churn").versions.values())


async def test_the_route_of_a_model_that_goes_as_a_whole_goes_too(two, routes):
    await routes.set("churn", CANARY)
    check_unrouted(two.registry, two.registry.model("churn").versions.values())


# --- undo ------------------------------------------------------------------------------------


async def test_undo_goes_back_one_change_after_the_other(two, routes):
    await routes.set("churn", CANARY)
    await point(two, "champion", 1)
    await point(two, LATEST, 1)

    model = two.registry.model("churn")
    assert model.ceiling == 1
    await routes.undo("churn")
    assert (model.ceiling, model.named, model.route) == (None, {"champion": 1}, CANARY)
    await routes.undo("churn")
    assert (model.named, model.route) == ({}, CANARY)
    await routes.undo()
    assert model.route is None
    assert (await stored(two)).route is None


async def test_undo_of_an_upload_holds_the_name_where_it_was(two, routes):
    await routes.undo("churn")
    assert two.serves("churn") == 1

    assert (await routes.redo("churn")).why == "redo of model.upload (1)"
    assert two.serves("churn") == 2


async def test_a_first_upload_is_not_undone(routes):
    await routes.undo("churn")

    with pytest.raises(IllegalTransition, match="no change of 'churn' to undo"):
        await routes.undo("churn")


async def test_redo_takes_back_undos_until_something_else_is_changed(two, routes):
    await routes.set("churn", CANARY)
    wider = attrs.evolve(CANARY, timeout_ms=9.0)
    await routes.set("churn", wider)
    model = two.registry.model("churn")
    await routes.undo("churn")
    await routes.undo("churn")

    await routes.redo("churn")
    assert model.route == CANARY
    await routes.redo("churn")
    assert model.route == wider
    with pytest.raises(IllegalTransition, match="to redo"):
        await routes.redo("churn")
    await routes.undo("churn")
    await point(two, "champion", 1)
    with pytest.raises(IllegalTransition, match="to redo"):
        await routes.redo("churn")


async def test_undo_is_refused_where_the_version_is_gone(two, routes):
    await two.upload(b"three")
    await point(two, "champion", 1)
    await point(two, "champion", 2)
    await two.operator.remove(two.registry.model("churn"), [two.registry.version("churn", 1)])

    with pytest.raises(
        IllegalTransition, match="@champion of 'churn' cannot lead to version 1 again: it is gone"
    ):
        await routes.undo("churn")
    assert two.registry.model("churn").named == {"champion": 2}


async def test_a_removed_model_leaves_no_changes_and_no_number_is_given_twice(two, routes):
    change = await routes.set("churn", CANARY)
    model = two.registry.model("churn")
    await two.operator.remove(model, list(model.versions.values()))
    await two.upload(b"one")
    await two.upload(b"two")

    assert [one.action for one in await routes.history("churn")] == ["model.upload"]
    assert (await routes.set("churn", CANARY)).seq > change.seq


# --- revisions -------------------------------------------------------------------------------


async def test_the_revision_follows_what_the_route_leads_to(two, routes):
    await point(two, "champion", 1)
    await routes.set("churn", Route((Share("champion"), Share(2))))
    model = two.registry.model("churn")
    first = model.revision

    await point(two, "other", 1)
    assert model.revision == first
    await point(two, "champion", 2)
    assert model.revision > first


# --- faults ----------------------------------------------------------------------------------


class Gate:
    """Raises at one step."""

    at = ""

    def __call__(self, step):
        if step == self.at:
            raise RuntimeError(f"broken at {step}")


@pytest.mark.parametrize("step", ["records.statement", "records.commit"])
async def test_a_change_that_is_not_stored_is_not_made(tmp_path, step):
    gate = Gate()
    async with open_desk(tmp_path, checkpoint=gate) as desk:
        await desk.upload(b"one")
        await desk.upload(b"two")
        routes = routes_of(desk)
        gate.at = step
        with pytest.raises(RuntimeError):
            await routes.set("churn", CANARY)
        gate.at = ""
        assert desk.registry.model("churn").route is None
        assert desk.serves("churn") == 2
        assert (await stored(desk)).route is None
        assert [one.action for one in await routes.history("churn")] == ["model.upload"]


async def test_a_change_is_whole_for_who_comes_after_a_kill(tmp_path):
    gate = Gate()
    async with open_desk(tmp_path, checkpoint=gate) as desk:
        await desk.upload(b"one")
        await desk.upload(b"two")
        gate.at = "records.committed"
        with pytest.raises(RuntimeError):
            await routes_of(desk).set("churn", CANARY)

    async with open_desk(tmp_path) as desk:
        assert desk.registry.model("churn").route == CANARY
        assert (await routes_of(desk).history("churn"))[0].after.route == CANARY


async def test_two_at_once_are_one_after_the_other(two, routes):
    other = attrs.evolve(CANARY, timeout_ms=7.0)
    first, second = await asyncio.gather(routes.set("churn", CANARY), routes.set("churn", other))

    assert (first.after, first.seq + 1) == (second.before, second.seq)
    assert two.registry.model("churn").route == other


async def test_who_stops_waiting_leaves_nothing_half_done(two, routes):
    task = asyncio.create_task(routes.set("churn", CANARY))
    while not two.registry.lock("churn").locked():
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert two.registry.model("churn").route == (await stored(two)).route


async def test_a_route_of_no_model(routes):
    with pytest.raises(ModelNotFound):
        await routes.set("nowhere", CANARY)


# --- states ----------------------------------------------------------------------------------


async def test_states_are_read_again_and_go_with_the_model(two):
    states = States(two.operator.records)
    text = msgspec.json.encode({"wins": 3}).decode()
    await states.save(*(State("churn", "bandit", "churn/2", revision, text) for revision in (1, 2)))
    await states.save(State("churn", "bandit", "churn/2", 2, "{}"), State("nowhere", "bandit", "a", 1, "{}"))

    assert [(one.revision, one.text) for one in await states.load("bandit")] == [(1, text), (2, "{}")]
    await states.forget("bandit", "churn", below=2)
    assert [one.revision for one in await states.load("bandit", "churn")] == [2]
    model = two.registry.model("churn")
    await two.operator.remove(model, list(model.versions.values()))
    assert await states.load("bandit") == []


# --- as it is shown ---------------------------------------------------------------------------


async def test_each_version_says_what_routes_give_it(two, routes):
    await two.upload(b"other", name="rf")
    await routes.set("churn", CANARY)
    await routes.set("rf", Route(fallback=(Fallback(model="churn/1"),)))

    told = [traffic_of(two.registry, two.registry.version("churn", number)) for number in (1, 2)]
    assert told == [["split 90 %", "fallback of rf"], ["split 10 %"]]
    assert traffic_of(two.registry, two.registry.version("rf", 1)) == ["all"]


async def test_what_moves_is_told_by_version(two, routes):
    model = two.registry.model("churn")
    await point(two, "champion", 1)
    wider = Route((Share("champion", weight=80), Share(2, weight=20)))

    assert moved(two.registry, model, None, CANARY) == [Move("churn/2", "churn/1", 90.0)]
    assert moved(two.registry, model, CANARY, wider) == [Move("churn/1", "churn/2", 10.0)]


async def test_a_route_is_shown_with_who_set_it_and_what_it_does(two, routes):
    routes.live.append(lambda model: [LiveLine("split", "circuit open", f"{model.name}/2")])
    await routes.set("churn", CANARY, why="canary")
    info = await route_info(routes, "churn")

    assert (info.actor, info.why, info.revision) == ("server", "canary", two.registry.model("churn").revision)
    assert info.live == [LiveLine("split", "circuit open", "churn/2")]


async def test_what_is_odd_about_a_route_is_told(two, routes):
    await point(two, "champion", 1)
    route = Route((Share("champion"), Share(1), Share(2)))
    await routes.set("churn", route)
    await two.operator.stop(two.registry.version("churn", 2))

    assert warnings_of(two.registry, two.registry.model("churn"), route) == [
        "1 and @champion of the split are the same version now, churn/1.",
        "2 is STOPPED and gets nothing until it is started.",
    ]


async def test_only_a_route_that_changed_is_told_as_changed(two, routes):
    change = await routes.set("churn", CANARY, why="canary")
    await point(two, "champion", 1)

    told = [one for one in two.events if one.name == "route.changed"]
    assert [(one.model, one.facts["revision"], one.facts["why"]) for one in told] == [
        ("churn", change.revision, "canary")
    ]


async def test_history_says_what_stands(two, routes):
    await routes.set("churn", CANARY)
    await routes.undo("churn")

    told = [(one.action, one.stands) for one in change_infos(await routes.history("churn"))]
    assert told == [("route.undo", True), ("route.set", False), ("model.upload", True)]


async def test_an_alias_that_a_route_names_does_not_go(two, routes):
    await two.upload(b"other", name="rf")
    await point(two, "champion", 1)
    await routes.set("rf", Route(fallback=(Fallback(model="churn@champion"),)))

    with pytest.raises(IllegalTransition, match="The route of 'rf' leads to churn@champion"):
        check_alias_unrouted(two.registry, "churn", "champion")
    with pytest.raises(IllegalTransition, match="alias 'champion' cannot go"):
        await routes.undo("churn")


async def test_another_models_alias_of_the_same_name_is_another(two, routes):
    await point(two, "champion", 1)
    await two.upload(b"other", name="rf", alias="champion")
    await routes.set("churn", Route((Share(model="rf@champion"), Share(2))))
    revision = two.registry.model("churn").revision

    await point(two, "champion", 2)
    assert two.registry.model("churn").revision == revision


async def test_a_route_is_set_only_instead_of_the_one_that_was_seen(two, routes):
    seen = (await routes.set("churn", CANARY)).revision
    await routes.set("churn", None)

    with pytest.raises(IllegalTransition, match="changed meanwhile"):
        await routes.set("churn", CANARY, revision=seen)


async def test_what_is_so_already_counts_as_taken_back(two, routes):
    """The version that an upload has put at the top was removed since."""
    await two.operator.remove(two.registry.model("churn"), [two.registry.version("churn", 2)])

    await routes.undo("churn")
    assert two.serves("churn") == 1
    with pytest.raises(IllegalTransition, match="no change"):
        await routes.undo("churn")


async def test_a_full_disk_changes_nothing(two, routes):
    records = two.operator.records
    ((pages,),) = await records.read("pragma page_count")
    await records.read(f"pragma max_page_count = {pages}")
    large = Route((Share(1),), fallback=(Fallback(value="x" * 1_000_000),))

    with pytest.raises(StorageFull):
        await routes.set("churn", large)
    await records.read("pragma max_page_count = 1000000")
    assert two.registry.model("churn").route is None
    assert (await stored(two)).route is None
    assert (await routes.set("churn", CANARY)).after.route == CANARY


async def test_a_database_that_cannot_be_read_is_a_failing_disk(two, routes):
    await two.operator.records.write(("alter table route_change rename to gone", ()))

    with pytest.raises(StorageFailed):
        await routes.set("churn", CANARY)
    assert two.registry.model("churn").route is None


async def test_what_a_later_prism_has_written_is_told_and_not_followed(tmp_path):
    async with open_desk(tmp_path) as desk:
        await desk.upload(b"one")
        await desk.upload(b"two")
        await routes_of(desk).set("churn", CANARY)
        broken = '{"split": "of tomorrow"}'
        await desk.operator.records.write(("update model set route = $1", (broken,)))
        await desk.operator.records.write(
            ("update route_change set after = $1 where seq = 2", (broken[:-1],))
        )
    async with open_desk(tmp_path) as desk:
        assert desk.registry.model("churn").route is None
        assert [one.action for one in await routes_of(desk).history("churn")] == ["model.upload"]


# --- undo and redo as a pair of stacks ---------------------------------------------------------


@given(st.lists(st.sampled_from(["set", "set", "undo", "undo", "redo"]), max_size=40))
def test_undo_and_redo_are_a_pair_of_stacks(steps):
    """The rows alone say what editors keep in two stacks."""
    rows, done, undone = [], [], []
    for number, step in enumerate(steps, 1):
        found = {"undo": undoable, "redo": redoable}[step](rows) if step != "set" else None
        if step == "set":
            done, undone = [*done, number], []
        elif step == "undo":
            assert (found.seq if found else None) == (done[-1] if done else None)
            undone += done[-1:]
            done = done[:-1]
        else:
            of = next(row for row in rows if row.seq == found.undoes).seq if found else None
            assert of == (undone[-1] if undone else None)
            done += undone[-1:]
            undone = undone[:-1]
        if step == "set" or found:
            undoes = found.seq if found else None
            rows.insert(0, Change(0.0, "m", "admin", step, Ways(), Ways(), undoes=undoes, seq=number))


@pytest.mark.parametrize("seed", range(4))
async def test_what_is_stored_is_what_is_followed_whatever_was_done(two, routes, seed):
    """Routes, aliases, uploads, undos: the rows and memory agree after each, and an undo goes back."""
    draw = random.Random(seed)
    past: list = []  # what was before each change that stands

    async def change(work):
        before = ways_of(two.registry.model("churn"))
        await work
        if ways_of(two.registry.model("churn")) != before:
            past.append(before)

    async def undo():
        if past:
            await routes.undo("churn")
            assert ways(two) == attrs.evolve(past.pop(), ceiling=ways(two).ceiling)

    def number():
        return draw.choice(list(two.registry.model("churn").versions))

    steps = [
        lambda: change(routes.set("churn", Route((Share(number()),), timeout_ms=draw.randrange(9)))),
        lambda: change(routes.set("churn", None)),
        lambda: change(point(two, draw.choice(["a", "b", LATEST]), number())),
        lambda: change(two.upload(draw.randbytes(4))),
        undo,
        undo,
    ]
    for _ in range(40):
        await draw.choice(steps)()
        row, model = await stored(two), two.registry.model("churn")
        assert (row.route, row.revision, row.aliases, row.ceiling) == (
            model.route,
            model.revision,
            model.named,
            model.ceiling,
        )


def ways(desk):
    return ways_of(desk.registry.model("churn"))


async def test_a_route_that_hedges_tells_of_versions_that_cannot_be_asked_twice(two):
    route = Route((Share(1), Share(2)), hedge=Hedge(), shadow=(Shadow(model="churn/1"),))
    one, other = (two.registry.find(f"churn/{number}").lane for number in (1, 2))
    one.deterministic = False
    other.clients = (object(),)

    assert warnings_of(two.registry, two.registry.model("churn"), route) == [
        "1 is not deterministic, and never asked twice.",
        "2 has one replica, and there is none to ask a second time.",
    ]
    assert warnings_of(two.registry, two.registry.model("churn"), Route((Share(1), Share(2)))) == []
