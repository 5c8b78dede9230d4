"""What is told of routed requests and of circuits: metrics and events, of what gateways report."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from prism_core.gateway.breaker import Circuit
from prism_core.gateway.registry import Model, Registry
from prism_core.gateway.traffic.circuit_states import CircuitStates
from prism_core.gateway.traffic.counted import CountedCalls
from prism_core.gateway.traffic.kinds import CircuitMoved, RoutedCall
from prism_core.traffic.route import Route
from prism_core.traffic.targets import Fallback, Share
from tests.unit.gateway.test_host import version


def call(arm: str, answered: str, code: str = "ok", failure: str = "") -> RoutedCall:
    return RoutedCall(1.0, "id", "churn", 7, arm, answered, 200, code, 0.004, failure)


def metrics(*collectors):
    registry = CollectorRegistry()
    for one in collectors:
        registry.register(one)
    return registry.get_sample_value


def test_requests_are_counted_by_who_was_chosen_and_who_answered():
    counted = CountedCalls()
    for one in [
        *[call("churn/1", "churn/1")] * 600,
        call("churn/2", "churn/1", failure="model_failed"),
        call("churn/2", "", failure="circuit_open"),
        call("churn/2", "", code="overloaded", failure="model_failed"),
    ]:
        counted.hear(one)
    value = metrics(counted)

    def routed(arm, answered, code):
        told = {"model": "churn", "arm": arm, "answered": answered, "code": code}
        return value("prism_routed_total", told)

    assert routed("churn/1", "churn/1", "ok") == 600
    assert routed("churn/2", "churn/1", "ok") == 1
    assert routed("churn/2", "value", "ok") == 1
    assert routed("churn/2", "", "overloaded") == 1
    failed = {"model": "churn", "arm": "churn/2", "reason": "model_failed"}
    assert value("prism_fallback_total", failed) == 2
    assert value("prism_routed_seconds_count", {"model": "churn", "arm": "churn/2"}) == 3


def test_what_is_counted_of_a_removed_version_is_forgotten():
    counted = CountedCalls()
    for one in (call("churn/1", "churn/1"), call("churn/2", "churn/1"), call("churn/3", "churn/3")):
        counted.hear(one)
    counted.forget("churn/1")
    arms = {sample.labels["arm"] for family in counted.collect() for sample in family.samples}
    assert arms == {"churn/3", "churn/2"}  # the time of those that were chosen for churn/2


def scene():
    events = []
    registry = Registry(lambda event: None)
    versions = {number: version("churn", number) for number in (1, 2, 3)}
    route = Route((Share(1), Share(2)), fallback=(Fallback("old"), Fallback(value=0)))
    registry.models = {"churn": Model("churn", 3, None, versions, {"old": 3}, route)}
    registry.refresh()
    return CircuitStates(registry, events.append), events


def test_circuits_are_told_of_all_versions_that_may_answer():
    circuits, events = scene()
    circuits.hear(CircuitMoved(1.0, "churn", "churn/2", "open", 11))

    assert circuits.of("churn") == {
        "churn/1": Circuit.CLOSED,
        "churn/2": Circuit.OPEN,
        "churn/3": Circuit.CLOSED,
    }
    assert circuits.of("fraud") == {}
    value = metrics(circuits)
    assert value("prism_circuit", {"model": "churn", "arm": "churn/2", "state": "open"}) == 1
    assert [(event.name, event.model, event.version, event.facts) for event in events] == [
        ("circuit.opened", "churn", 2, {"route": "churn"})
    ]


def test_of_several_gateways_the_worst_is_told_and_the_last_one_closes_it():
    circuits, events = scene()
    for gateway, state in ((11, "open"), (12, "open"), (11, "half_open"), (11, "closed")):
        circuits.hear(CircuitMoved(1.0, "churn", "churn/2", state, gateway))
    assert circuits.of("churn")["churn/2"] is Circuit.OPEN
    circuits.hear(CircuitMoved(1.0, "churn", "churn/2", "half_open", 12))
    assert circuits.of("churn")["churn/2"] is Circuit.HALF_OPEN
    assert [event.name for event in events] == ["circuit.opened"]

    circuits.left(12)
    assert circuits.of("churn")["churn/2"] is Circuit.CLOSED
    assert [event.name for event in events] == ["circuit.opened", "circuit.closed"]
