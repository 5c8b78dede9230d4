"""What people read of a replay."""

from __future__ import annotations

from xml.etree import ElementTree

import attrs
import pytest

from prism_core.cli.replayed import junit_of, write_outcome
from prism_core.traffic.replaying.latency import Slowdown, Times
from prism_core.traffic.replaying.outcome import Example, Outcome, OutputChange, Pace
from prism_core.traffic.replaying.slices import Slice

FOUND = Outcome(
    model="churn",
    baseline="churn/3",
    candidate="churn/4",
    requests=1500,
    since=0.0,
    until=1.0,
    compared_rows=1500,
    differing_rows=267,
    interval=(0.16, 0.2),
    uncompared={},
    baseline_errors={},
    candidate_errors={},
    new_errors=0,
    outputs=[OutputChange("predictions", 1500, 267, 0.25, 2.0)],
    slices=[Slice("country", "country is DE", 420, 130, 1080, 20, 1e-9, "of these 40 %")],
    examples=[Example("id-1", 1.0, "row 1 of predictions: 0 / 1", "", "", {"country": "DE"})],
    times=Times(1500, {"p95": 10.0}, {"p95": 12.0}, {"p95": Slowdown(0.2, -0.001, 0.3)}),
    pace=Pace(True, {"p99": 1.0}, 2.0, 4, 5),
)


def told(
    capsys: pytest.CaptureFixture[str], bound: bool = False, broken: tuple[str, ...] = (), **changes
) -> str:
    outcome = attrs.asdict(attrs.evolve(FOUND, **changes))
    write_outcome({"outcome": outcome, "broken": list(broken)}, bound)
    captured = capsys.readouterr()
    return captured.out + captured.err


@pytest.mark.parametrize(
    "line",
    [
        "1,500 requests: 18 % of the rows differ (267 of 1,500; 16 % to 20 % of such traffic",
        "predictions: 0.25 apart in the mean, 2 at most",
        "  country is DE: 31 % differ (130 of 420 rows), elsewhere 1.9 %\n    of these 40 %\n",
        "row 1 of predictions: 0 / 1  [country=DE]",
        "+20% (+0% to +30%)",
    ],
)
def test_what_was_found(capsys, line):
    assert line in told(capsys)


def test_a_verdict_is_told_only_where_one_was_asked_for(capsys):
    assert "Within all bounds." not in told(capsys)
    assert "Within all bounds." in told(capsys, bound=True)
    assert "Broken: max-errors: too many." in told(capsys, bound=True, broken=("max-errors: too many",))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pace": Pace(False, {}, 0.0, 1, 1)}, "It waited for answers"),
        ({"pace": Pace(True, {"p99": 80.0}, 90.0, 1, 1)}, "The sender itself was late, 80 ms"),
        ({"uncompared": {"busy": 7}}, "7 requests were not compared: comparing did not keep up"),
        ({"damaged": 2}, "2 pieces of the recording could not be read"),
        ({"compared_rows": 0, "differing_rows": 0}, "no rows could be compared"),
        ({"candidate_errors": {"model_failed": 3}, "new_errors": 2}, "failed anew"),
    ],
)
def test_what_to_think_of_beside(capsys, changes, words):
    assert words in told(capsys, **changes)


def test_each_bound_is_a_test_for_junit():
    verdict = {"outcome": attrs.asdict(FOUND), "broken": ["max-errors: 3 requests failed: too many"]}
    suite = ElementTree.fromstring(junit_of(verdict, ["max_disagreement", "max_errors"]))
    assert suite.attrib == {"name": "replay churn/3 churn/4", "tests": "2", "failures": "1"}
    found = {test.get("name"): [one.get("message") for one in test] for test in suite}
    assert found == {"max-disagreement": [], "max-errors": ["3 requests failed: too many"]}
