"""Bandits in the leader: rewards become weights in all gateways, and are known again after a restart."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from prism_core.errors import StorageFull
from prism_core.gateway.channel import Weights
from prism_core.gateway.registry import Model
from prism_core.gateway.traffic import bandits as module
from prism_core.gateway.traffic.bandits import Bandits, open_bandits
from prism_core.gateway.traffic.desk import Desk
from prism_core.gateway.traffic.kinds import Judged
from prism_core.gateway.traffic.routed import Routed, Routing
from prism_core.gateway.traffic.states import State
from prism_core.traffic.bandit import Bandit
from prism_core.traffic.route import Route
from prism_core.traffic.targets import Share
from tests.unit.gateway.test_routed import Told

SPLIT = (Share(1, weight=90), Share(2, weight=10))
ROUTE = Route(SPLIT, bandit=Bandit())


class Kept:
    """States in memory."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], State] = {}

    async def save(self, *states: State) -> None:
        self.known.update({(state.kind, state.model): state for state in states})

    async def load(self, kind: str) -> list[State]:
        return [state for (of, _), state in self.known.items() if of == kind]


class Scene:
    """One leader with a follower, a model of three versions, and what is stored."""

    def __init__(self, states: Kept) -> None:
        self.told: list[Any] = []
        self.desk = Desk()
        self.registry: Any = SimpleNamespace(models={"m": model()})
        self.followers: Any = SimpleNamespace(tell=self.told.append, greetings=[])
        self.states: Any = states
        self.lanes: Any = {f"m/{number}": Told(number) for number in (1, 2, 3)}
        self.lanes["m@champion"] = self.lanes["m/2"]

    def lead(self, route: Route) -> None:
        """Follow a route, as the registry does."""
        self.registry.models["m"].route = route
        self.registry.models["m"].revision += 1
        routing = self.routing
        routed = Routed(routing, "m", route, 1, self.lanes, lambda reference: KeyError(reference))
        for tap in routing.taps:
            tap(routed)

    @property
    def routing(self) -> Routing:
        return self.desk.routing

    @property
    def weights(self) -> dict[str, float]:
        return dict(self.routing.weights["m"])


def model() -> Model:
    return Model("m", versions=dict.fromkeys((1, 2, 3), None))


@pytest.fixture
def scene() -> Scene:
    return Scene(Kept())


@pytest.fixture
async def bandits(scene, monkeypatch):
    # At once: nothing here waits for time.
    monkeypatch.setattr(module, "EVERY_S", 0)
    async with open_bandits(scene.desk, scene.registry, scene.followers, scene.states) as bandits:
        yield bandits


def reward(scene: Scene, bandits: Bandits, number: int, *, arm="m/2", reward=1.0, chance=0.5) -> None:
    """Let rewards come."""
    for _ in range(number):
        scene.desk.hear(Judged(0.0, "r", "m", 1, arm, reward, chance))
    bandits.reckon()


def test_a_message_replaces_what_was():
    weights: Any = {"m": {"m/1": 1.0}, "n": {"n/1": 1.0}}
    Weights({"m": {}, "n": {"n/2": 1.0}}).give(weights)

    assert weights == {"n": {"n/2": 1.0}}


async def test_at_first_all_get_the_same(scene, bandits):
    """And the followers know it before the first request by the route."""
    scene.lead(ROUTE)

    assert scene.weights == {"m/1": 0.5, "m/2": 0.5}
    assert scene.told == [Weights({"m": {"m/1": 0.5, "m/2": 0.5}})]


async def test_rewards_move_weights_in_all_gateways(scene, bandits):
    scene.lead(ROUTE)
    reward(scene, bandits, 20)
    reward(scene, bandits, 20, arm="m/1", reward=0.0)

    assert scene.weights["m/2"] > 0.98
    assert scene.told[-1] == Weights({"m": scene.weights})
    assert [greeting() for greeting in scene.followers.greetings] == [Weights({"m": scene.weights})]


async def test_what_hardly_changes_is_not_told(scene, bandits):
    scene.lead(ROUTE)
    reward(scene, bandits, 400)
    reward(scene, bandits, 400, arm="m/1", reward=0.0)
    told = len(scene.told)
    reward(scene, bandits, 5)

    assert len(scene.told) == told


async def test_weight_0_gets_nothing(scene, bandits):
    """A guard has taken it all away, or somebody."""
    scene.lead(Route((Share(1), Share(2, weight=0), Share(3)), bandit=Bandit()))

    assert scene.weights == {"m/1": 0.5, "m/2": 0.0, "m/3": 0.5}


async def test_two_names_of_one_version_share_its_weight(scene, bandits):
    scene.lead(Route((Share(1), Share(2), Share("champion")), bandit=Bandit()))

    assert scene.weights == {"m/1": 0.5, "m/2": 0.25, "m@champion": 0.25}


async def test_what_was_learned_of_a_version_stays_when_the_route_changes(scene, bandits):
    scene.lead(ROUTE)
    reward(scene, bandits, 50)
    scene.lead(Route((Share(2), Share(3)), bandit=Bandit()))

    assert scene.weights["m/2"] > 0.9
    assert [one.pulls for one in bandits.shown("m")] == [50, 0]


async def test_without_a_bandit_the_route_says_the_weights(scene, bandits):
    scene.lead(ROUTE)
    scene.lead(Route(SPLIT))

    assert "m" not in scene.routing.weights
    assert scene.told[-1] == Weights({"m": {}})
    assert bandits.shown("m") == []


async def test_nothing_is_learned_of_what_the_split_did_not_choose(scene, bandits):
    """Of what a rule has led, of versions that are not in the split, of other models."""
    scene.lead(ROUTE)
    reward(scene, bandits, 10, chance=0.0)
    reward(scene, bandits, 10, arm="m/3")
    scene.desk.hear(Judged(0.0, "r", "other", 1, "other/1", 1.0, 0.5))
    bandits.reckon()

    assert [one.pulls for one in bandits.shown("m")] == [0, 0]
    assert scene.weights == {"m/1": 0.5, "m/2": 0.5}


async def test_a_model_that_is_made_again_is_another(scene, bandits):
    scene.lead(ROUTE)
    reward(scene, bandits, 50)
    scene.registry.models["m"] = model()
    scene.lead(ROUTE)

    assert scene.weights == {"m/1": 0.5, "m/2": 0.5}


async def test_one_that_had_no_bandit_when_it_went_is_another_too(scene, bandits):
    scene.lead(ROUTE)
    reward(scene, bandits, 20)
    scene.lead(Route(SPLIT))
    scene.registry.models["m"] = model()
    scene.lead(ROUTE)

    assert scene.weights == {"m/1": 0.5, "m/2": 0.5}


async def test_a_full_disk_does_not_keep_it_from_ending(scene, monkeypatch):
    async def full(*states):
        raise StorageFull("The disk is full.")

    monkeypatch.setattr(scene.states, "save", full)
    async with open_bandits(scene.desk, scene.registry, scene.followers, scene.states) as bandits:
        scene.lead(ROUTE)
        reward(scene, bandits, 1)

    monkeypatch.undo()
    await bandits.save()
    assert ("bandit", "m") in scene.states.known


async def test_it_is_known_again_after_a_restart(scene, bandits):
    scene.lead(ROUTE)
    reward(scene, bandits, 30)
    await bandits.save()
    again = Scene(scene.states)
    async with open_bandits(again.desk, again.registry, again.followers, again.states):
        again.lead(ROUTE)

    assert again.weights == pytest.approx(scene.weights)


async def test_the_end_stores_what_came_last(scene):
    async with open_bandits(scene.desk, scene.registry, scene.followers, scene.states):
        scene.lead(ROUTE)
        scene.desk.hear(Judged(0.0, "r", "m", 1, "m/2", 1.0, 0.5))

    (state,) = scene.states.known.values()
    assert msgspec.json.decode(state.text)["m/2"]["pulls"] == 1


async def test_a_state_that_cannot_be_read_is_left(scene):
    scene.states.known["bandit", "m"] = State("m", "bandit", "", 0, "[1, 2")
    async with open_bandits(scene.desk, scene.registry, scene.followers, scene.states):
        scene.lead(ROUTE)

    assert scene.weights == {"m/1": 0.5, "m/2": 0.5}


async def test_how_it_is_shown(scene, bandits):
    scene.lead(ROUTE)
    reward(scene, bandits, 1)
    reward(scene, bandits, 2, arm="m/1", reward=0.5)
    lines = {line.target: line.text for line in bandits.lines(scene.registry.models["m"])}

    assert lines["m/2"].endswith("%: 1 reward, mean reward 1.000")
    assert lines["m/1"].endswith("%: 2 rewards, mean reward 0.500")
