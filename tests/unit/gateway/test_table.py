"""What followers are told: the models that differ, and nothing else."""

from __future__ import annotations

from types import SimpleNamespace

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from prism_core.gateway.lane import Lane
from prism_core.gateway.lifecycle import State
from prism_core.gateway.registry import Model, Version
from prism_core.gateway.table import SharedModel, SharedVersion, changed, changes, table_of
from tests.unit.gateway.conftest import SIGNATURE, ignore, manifest_of

MANIFESTS = [manifest_of("m", number) for number in range(3)]

versions = st.builds(
    SharedVersion,
    manifest=st.sampled_from(MANIFESTS),
    signature=st.sampled_from([None, SIGNATURE]),
    state=st.sampled_from([str(state) for state in State]),
    error=st.sampled_from(["", "it died"]),
    served=st.booleans(),
    replicas=st.lists(st.sampled_from([("unix:/a", ""), ("tcp:1", "t")]), max_size=2).map(tuple),
)
models = st.builds(
    SharedModel,
    name=st.just("m"),
    last_version=st.integers(0, 3),
    ceiling=st.none() | st.integers(0, 3),
    named=st.dictionaries(st.sampled_from(["a", "b"]), st.integers(0, 3)),
    versions=st.lists(versions, max_size=3).map(tuple),
)
tables = st.dictionaries(st.sampled_from(["m", "n", "o"]), models, max_size=3)


@given(tables, tables)
def test_changes_lead_from_one_table_to_the_other(before, after):
    assert changed(before, changes(before, after)) == after


@given(tables, tables)
def test_only_what_differs_is_told(before, after):
    told = changes(before, after)

    assert all(before.get(name) != after.get(name) for name in told)
    assert changes(after, after) == {}


@given(tables, tables)
def test_changes_survive_the_wire(before, after):
    told = changes(before, after)
    kind = dict[str, SharedModel | None]

    assert msgspec.msgpack.decode(msgspec.msgpack.encode(told), type=kind) == told


def version_with(*replicas) -> Version:
    manifest = manifest_of("m", 1)
    lane = Lane(manifest, SIGNATURE, cache=None, record=ignore)
    for address in replicas:
        lane.add(SimpleNamespace(address=address, token="t"))
    return Version(manifest, SIGNATURE, State.READY, lane=lane)


def table(version: Version, **facts) -> dict[str, SharedModel]:
    return table_of({"m": Model("m", 1, None, {1: version}, facts)})


def test_a_table_holds_what_the_registry_does():
    shared = table(version_with("unix:/a", "unix:/b"), champion=1)["m"]

    assert (shared.name, shared.last_version, shared.named) == ("m", 1, {"champion": 1})
    assert shared.versions[0].replicas == (("unix:/a", "t"), ("unix:/b", "t"))
    assert shared.versions[0].served


def test_a_version_without_a_lane_is_not_served():
    version = version_with()
    version.lane = None

    assert not table(version)["m"].versions[0].served


def test_a_table_does_not_change_with_the_registry():
    version = version_with("unix:/a")
    model = Model("m", 1, None, {1: version}, {})
    before = table_of({"m": model})
    model.named["champion"] = 1
    version.lane.clients = ()

    assert list(changes(before, table_of({"m": model}))) == ["m"]
