"""What all gateways find out about shadows, in the leader."""

from __future__ import annotations

from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from prism_core.errors import ModelNotFound
from prism_core.gateway.auditing import open_audit
from prism_core.gateway.records import open_records
from prism_core.gateway.registry import Registry
from prism_core.gateway.traffic.desk import Desk
from prism_core.gateway.traffic.kinds import Shadowed
from prism_core.gateway.traffic.shadows.agreements import KIND, open_agreements
from prism_core.gateway.traffic.shadows.questions import Pair
from prism_core.gateway.traffic.shadows.shown import shown
from prism_core.gateway.traffic.states import State, States
from prism_core.traffic.comparing import Agreement, Answer, compare

PAIR = Pair("m", "m/1", "m/2")


def report(*outcomes: bool, at: float = 1.0, shadow: str = "m/2", **dropped: int) -> Shadowed:
    """Return a gateway's report of answers of one row, which agree or do not."""
    agreement = Agreement()
    for number, agrees in enumerate(outcomes):
        live = Answer("application/json", b'{"predictions": ["a"]}', latency_s=0.001)
        says = live.body if agrees else b'{"predictions": ["b"]}'
        other = Answer("application/json", says, latency_s=0.002)
        agreement.add(f"{at}-{number}", live, other, compare(live, other))
    return Shadowed(at, "m", "m/1", shadow, agreement, dropped)


@pytest.fixture
async def place(tmp_path):
    """A data directory with the model m; opens its agreements."""
    registry = Registry(lambda event: None)
    registry.models["m"] = SimpleNamespace(name="m")
    async with open_records(tmp_path / "prism.db") as records, open_audit(tmp_path) as audit:
        states = States(records)
        await records.write(("insert into model(name, last_version, created) values ('m', 2, 0)", ()))

        @asynccontextmanager
        async def opened():
            desk = Desk()
            async with open_agreements(desk, states, registry, audit) as agreements:
                yield SimpleNamespace(hear=desk.hear, agreements=agreements, of=agreements.of)

        yield SimpleNamespace(open=opened, states=states, registry=registry)


async def test_reports_of_all_gateways_add_up(place):
    async with place.open() as known:
        known.hear(report(True, True, False, at=1.0, busy=2))
        known.hear(report(True, at=5.0, busy=1, large=1))
        kept = known.of("m")[PAIR]

    assert (kept.agreement.rows, kept.agreement.agreed) == (4, 3)
    assert (kept.since, kept.until, kept.dropped) == (1.0, 5.0, {"busy": 3, "large": 1})


async def test_it_is_kept_over_a_restart(place):
    async with place.open() as known:
        known.hear(report(True, False, busy=1))
        before = known.of("m")
    async with place.open() as known:
        assert known.of("m") == before
        known.hear(report(True))
        assert known.of("m")[PAIR].agreement.rows == 3


async def test_what_another_release_wrote_is_left_out(place):
    await place.states.save(State("m", KIND, "m/1 m/2", 0, '{"since": "yesterday"}'))
    async with place.open() as known:
        assert known.of("m") == {}


async def test_one_begins_anew(place):
    async with place.open() as known:
        known.hear(report(True))
        await known.agreements.save()
        await known.agreements.forget("m")
        assert known.of("m") == {}
        with pytest.raises(ModelNotFound):
            await known.agreements.forget("n")
    async with place.open() as known:
        assert known.of("m") == {}


async def test_a_removed_version_takes_what_is_known_of_it_along(place):
    async with place.open() as known:
        known.hear(report(True))
        known.hear(report(True, shadow="n/3"))
        await known.agreements.forget_version("n", 3)
        assert list(known.of("m")) == [PAIR]
        await known.agreements.forget_version("m", 1)
        assert known.of("m") == {}


async def test_a_model_that_is_gone_is_not_heard_of(place):
    async with place.open() as known:
        del place.registry.models["m"]
        known.hear(report(True))
        assert known.of("m") == {}


async def test_metrics_tell_pairs_rows_and_what_was_dropped(place):
    async with place.open() as known:
        known.hear(report(True, True, False, busy=4))
        metrics = CollectorRegistry()
        metrics.register(known.agreements)
        told = generate_latest(metrics).decode()

    labels = 'live="m/1",model="m",{}shadow="m/2"'
    for name, label, count in [
        ("requests", 'result="agreed",', 2),
        ("requests", 'result="differed",', 1),
        ("rows", 'result="agreed",', 2),
        ("rows", 'result="differed",', 1),
        ("dropped", 'reason="busy",', 4),
    ]:
        assert f"prism_shadow_{name}_total{{{labels.format(label)}}} {float(count)}" in told


async def test_it_is_shown(place):
    async with place.open() as known:
        known.hear(report(True, False, True, True, busy=4))
        (one,) = shown("m", ["m/2"], known.of("m")).shadows

    assert (one.requests, one.rows, one.agreed, one.agreement) == (4, 4, 3, 0.75)
    assert one.interval[0] < 0.75 < one.interval[1]
    assert one.results == {"agreed": 3, "differed": 1}
    assert one.live_side.latency_ms["p99"] == pytest.approx(1.0, rel=0.03)
    assert one.shadow_side.latency_ms["p99"] == pytest.approx(2.0, rel=0.03)
    assert one.outputs[0].shadow.classes == {"a": 3, "b": 1}
    assert [example.said for example in one.examples] == ['row 1 of predictions: "a" / "b"']
    assert one.says.startswith("1 of 4 rows of predictions differ")
