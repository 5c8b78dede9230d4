"""Which rule decides about a request, and what is told of one that cannot be told."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from prism_core.errors import InvalidRoute
from prism_core.gateway.prediction import Head
from prism_core.gateway.registry import Model
from prism_core.gateway.traffic.kinds import UnclearRule
from prism_core.gateway.traffic.rules import NO_RULE, Rules, check_rules, nowhere
from prism_core.gateway.traffic.sender import Sender
from prism_core.gateway.traffic.unclear import UnclearRules
from prism_core.traffic.route import Route
from prism_core.traffic.targets import Rule

JSON = Head("application/json", query="verbose=1&verbose=2&empty=")
ANN = Sender(
    {"x-country": "DE", "cookie": "uid=ann; uid=bo; beta=1", "user-agent": "curl"}, "192.0.2.7", "key:7"
)


def route(*whens: str) -> Route:
    return Route(rules=tuple(Rule(version, when=when) for version, when in enumerate(whens, 1)))


def decided(*whens: str, head: Head = JSON, body: bytes = b"[]", countries: Any = nowhere) -> Any:
    """Return the place of the rule that decides, and which could not be told for what reason."""
    unclear: list[tuple[int, str]] = []
    rules = Rules("churn", route(*whens), countries, lambda rule, reason, _: unclear.append((rule, reason)))
    place, reference = rules.decide(head, body, ANN)
    assert reference == (f"churn/{place}" if place else "")
    return place, unclear


def test_the_first_that_is_true_decides():
    assert decided("false", 'header["x-country"] == "DE"', "true") == (2, [])
    assert decided("false") == (NO_RULE[0], [])


@pytest.mark.parametrize(
    "when",
    [
        'header["x-country"] == "DE"',
        'header.exists(name, name == "user-agent")',
        'cookie["uid"] == "ann" && "beta" in cookie',
        'query["verbose"] == "1" && query["empty"] == ""',
        'address == "192.0.2.7"',
        'country == "FR"',
        'key == "key:7"',
        'model == "churn"',
        "features.age > 60",
    ],
)
def test_what_rules_may_ask_of_a_request(when):
    body = b'{"input": [{"age": 61}]}'
    country_of = {"192.0.2.7": "FR"}.__getitem__

    assert decided(when, body=body, countries=country_of) == (1, [])


def test_one_that_cannot_be_told_is_false_and_the_next_is_asked():
    assert decided('header["x-user"] == "ann"', "features.age > 60", "true", body=b'[{"age": "old"}]') == (
        3,
        [(1, "missing"), (2, "type")],
    )


@pytest.mark.parametrize(
    ("head", "body", "reason"),
    [
        (Head("text/csv"), b"age\n61\n", "media_type"),
        (JSON, b"{", "not_json"),
        (JSON, b"[[61]]", "no_names"),
        (JSON, b"[]", "no_rows"),
        (JSON, b"[" + b" " * 300_000 + b"]", "too_large"),
    ],
)
def test_a_body_without_features_is_told_as_such(head, body, reason):
    assert decided("features.age > 60", head=head, body=body) == (0, [(1, reason)])


def test_a_body_is_read_once_and_only_for_a_rule_that_asks(monkeypatch):
    read: list[str] = []
    monkeypatch.setattr(
        "prism_core.gateway.traffic.rules.features_of", lambda kind, body: read.append(kind) or {"age": 1}
    )

    decided('header["x-country"] == "DE"', "features.age > 60")
    assert read == []
    decided("features.age > 60", "features.age > 50", "features.name == ''")
    assert len(read) == 1


def test_what_is_no_rule_is_refused_with_its_place():
    with pytest.raises(InvalidRoute, match=r"rules\[1\]\.when: At character 13: it ends too early") as caught:
        check_rules("churn", route("true", "features.a >"), countries=True)
    assert caught.value.hint == "It says: features.a >"


def test_without_the_library_a_rule_is_refused_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cel_expr_python", None)
    with pytest.raises(InvalidRoute, match=r"rules\[0\]\.when: Rules need the package") as caught:
        check_rules("a-model-that-nobody-has-asked", route("true"), countries=True)
    assert caught.value.hint == "pip install 'prism-core[rules]'"


def test_countries_are_asked_for_only_where_they_are_known():
    asks = route('country == "DE"')
    with pytest.raises(InvalidRoute, match=r"rules\[0\]\.when: nobody knows the countries") as caught:
        check_rules("churn", asks, countries=False)
    assert "geo_database" in caught.value.hint
    check_rules("churn", asks, countries=True)
    check_rules("churn", route('header["country"] == "DE"'), countries=False)


def test_a_stored_rule_that_cannot_be_read_any_more_is_left_out():
    assert decided("no_longer_known(key)", "true") == (2, [])


def test_what_could_not_be_told_is_counted_for_the_route_as_it_is():
    unclear = UnclearRules()
    for revision, reason in [(1, "missing"), (2, "missing"), (2, "type"), (2, "missing"), (1, "type")]:
        unclear.hear(UnclearRule("churn", revision, 1, reason, "Why."))

    now = Model("churn", route=route("true"), revision=2)
    assert [line.text for line in unclear.lines(now)] == [
        "rule 1 could not be told for 2 requests: Why.",
        "rule 1 could not be told for a request: Why.",
    ]
    assert [*unclear.lines(Model("churn", route=route("true"), revision=3))] == []
    assert [*unclear.lines(Model("other"))] == []
    (family,) = unclear.collect()
    assert {sample.labels["reason"]: sample.value for sample in family.samples} == {"missing": 3, "type": 2}
