"""The store in memory against a plain oracle: order of use, times to live, bounds, groups."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from hypothesis import given
from hypothesis import strategies as st

from prism_core.gateway import lru
from prism_core.gateway.lru import ENTRY_BYTES, Group, Store
from prism_core.testing import Clock

OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("keep"), st.integers(0, 9), st.integers(0, 40), st.floats(0, 20)),
        st.tuples(st.just("lookup"), st.integers(0, 9)),
        st.tuples(st.just("wait"), st.floats(0, 10)),
        st.tuples(st.just("drop"), st.integers(0, 2)),
    ),
    max_size=80,
)


class Oracle:
    """The same in the plainest way: a list of entries in the order of their use.

    Key k is of version k % 3; versions 1 and 2 are of one model, which has a bound of its own.
    """

    def __init__(self, room, own_room):
        self.room, self.own_room, self.entries, self.now = room, own_room, OrderedDict(), 0.0

    def size(self, entries):
        return sum(len(value) + ENTRY_BYTES + 1 for value, _ in entries.values())

    def of_model(self):
        return {key: entry for key, entry in self.entries.items() if key % 3}

    def keep(self, key, value, ttl_s):
        self.entries.pop(key, None)
        if ttl_s > 0:
            self.entries[key] = (value, self.now + ttl_s)
        while self.size(self.of_model()) > self.own_room:
            del self.entries[next(iter(self.of_model()))]
        while self.size(self.entries) > self.room:
            self.entries.popitem(last=False)

    def lookup(self, key):
        if key in self.entries and self.entries[key][1] <= self.now:
            del self.entries[key]
        if key not in self.entries:
            return None
        self.entries.move_to_end(key)
        return self.entries[key][0]

    def drop(self, version):
        for key in [key for key in self.entries if key % 3 == version]:
            del self.entries[key]


@given(OPERATIONS)
def test_it_is_a_bounded_lru_with_ends_and_groups(operations):
    clock = Clock()
    room, own_room = 5 * ENTRY_BYTES, 3 * ENTRY_BYTES
    store, oracle = Store(room, clock), Oracle(room, own_room)
    groups, bound = [Group(), Group(), Group()], Group(own_room)
    oracle.now = clock()
    for name, number, *values in operations:
        if name == "wait":
            clock.advance(number)
            oracle.now = clock()
        elif name == "drop":
            store.drop(groups[number])
            oracle.drop(number)
        elif name == "lookup":
            assert store.lookup(b"%d" % number) == oracle.lookup(number)
        else:
            value, ttl_s = b"x" * values[0], values[1]
            group = groups[number % 3]
            store.keep(b"%d" % number, value, len(value), ttl_s, group, bound if number % 3 else None)
            oracle.keep(number, value, ttl_s)
        assert len(store) == len(oracle.entries)
        assert store.bytes == oracle.size(oracle.entries) <= room
        assert bound.bytes == oracle.size(oracle.of_model()) <= own_room
        assert sum(group.bytes for group in groups) == store.bytes
        assert sum(len(group) for group in groups) == len(store)


def test_a_value_larger_than_the_store_is_not_kept():
    store, group = Store(1000), Group()
    store.keep(b"small", "s", 1, None, group)
    store.keep(b"large", "l", 1000, None, group)

    assert store.lookup(b"small") == "s"
    assert store.lookup(b"large") is None


def test_a_bound_larger_than_the_store_is_the_store_s():
    store, group, bound = Store(1000), Group(), Group(10_000)
    store.keep(b"small", "s", 1, None, group, bound)
    store.keep(b"large", "l", 1000, None, group, bound)

    assert store.lookup(b"small") == "s"
    assert store.lookup(b"large") is None


async def test_very_many_entries_are_freed_in_slices(monkeypatch):
    """So that other clients are answered meanwhile."""
    monkeypatch.setattr(lru, "SLICE", 10)
    store, group, other = Store(1 << 20), Group(), Group()
    for number in range(25):
        store.keep(b"%d" % number, "x", 1, None, group)
    store.keep(b"other", "x", 1, None, other)
    store.drop(group)
    left = len(group)
    while group.keys:
        await asyncio.sleep(0)

    assert left == 15
    assert len(store) == 1
    assert store.bytes == other.bytes
