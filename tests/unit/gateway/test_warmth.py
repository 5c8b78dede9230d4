"""What was to be kept loaded, read at the start."""

from __future__ import annotations

import pytest

from prism_core.gateway.registry import Registry
from prism_core.gateway.traffic.states import State
from prism_core.gateway.traffic.warmth import KIND, Warmth


class Kept:
    """States in memory."""

    def __init__(self, *states: State) -> None:
        self.known = list(states)

    async def load(self, kind: str) -> list[State]:
        return [state for state in self.known if state.kind == kind]

    async def forget(self, kind: str, model: str, name: str) -> None:
        self.known = [one for one in self.known if (one.kind, one.model, one.name) != (kind, model, name)]


@pytest.mark.parametrize(("name", "text"), [("1", "{"), ("1", '"soon"'), ("1", "null"), ("one", "9e9")])
async def test_a_damaged_row_keeps_no_server_from_starting(name, text):
    states = Kept(State("churn", KIND, name, 0, text))

    await Warmth(Registry(lambda event: None), states).restore()

    assert states.known == []
