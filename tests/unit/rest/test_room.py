"""Room for connections: what descriptors allow, and who goes when there is none."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.rest.room import Plan, Room, plan


@pytest.mark.parametrize(
    ("asked", "descriptors", "expected"),
    [
        (20_000, 1_048_576, Plan(20_000, 256)),
        (20_000, 20_000, Plan(18_976, 256)),
        (20_000, 1024, Plan(768, 64)),
        (8, 1024, Plan(8, 64)),
        (100, 8, Plan(6, 1)),
    ],
)
def test_what_descriptors_allow(asked, descriptors, expected):
    assert plan(asked, descriptors) == expected


@given(st.integers(1, 10**6), st.integers(4, 10**7))
def test_something_is_left_for_replicas_always(asked, descriptors):
    found = plan(asked, descriptors)

    assert 1 <= found.public <= asked
    assert found.public + min(1024, descriptors // 4) <= descriptors or found.public == 1


@attrs.define(eq=False)
class Guest:
    room: Room
    idle_since: float | None

    def leave(self) -> None:
        self.room.guests[0].discard(self)


def full_of(*since) -> Room:
    room = Room(len(since))
    room.guests.append(set())
    room.guests[0].update(Guest(room, one) for one in since)
    return room


@given(st.lists(st.none() | st.floats(0, 1e6), max_size=200))
def test_those_that_were_idle_for_longest_go_and_nobody_else(since):
    room = full_of(*since)
    idle = sorted(one for one in since if one is not None)
    made = room.make()
    left = [guest.idle_since for guest in room.guests[0]]
    gone = len(since) - len(left)

    assert made == bool(idle)
    assert gone == (max(1, len(idle) // 50) if idle else 0)
    assert sorted(one for one in left if one is not None) == idle[gone:]


def test_those_on_their_way_take_room_too():
    room = Room(2)
    room.guests.append({1})
    assert not room.full

    room.arriving.add(1)
    assert not room.full, "it has arrived, and is not counted twice"
    room.arriving.add(2)
    assert room.full
