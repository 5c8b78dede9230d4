"""What an experiment says, in plain words."""

from __future__ import annotations

import random

import pytest

from prism_core.traffic.experiment import Experiment
from prism_core.traffic.trial import Trial
from prism_core.traffic.verdicts import Line, lines_of, overall, seconds

OTHER = "m/2"


def name(arm: str) -> str:
    return arm[2:]


def fed(n, *, errors=(0.01, 0.01), slower=1.0, labels=None, seed=1) -> Trial:
    trial, chance = Trial.of("m/1", {"m/1": 1.0, OTHER: 1.0}, 1, 0.0), random.Random(seed)
    for number in range(n):
        arm = chance.choice(trial.arms)
        failed = chance.random() < errors[arm == OTHER]
        total_s = chance.lognormvariate(-4, 0.4) * (slower if arm == OTHER else 1.0)
        trial.called(1, arm, number / 20, failed=failed, total_s=None if failed else total_s)
        if labels:
            trial.rated("labels", 1, arm, float(chance.random() < labels[arm == OTHER]))
    return trial


def lines(trial: Trial, *metrics: str) -> dict[str, Line]:
    asked = Experiment(metrics=metrics or Experiment().metrics)
    return {line.metric: line for line in lines_of(trial, asked, name)}


def test_a_slower_share_is_told_with_its_interval():
    found = lines(fed(20_000, slower=1.12), "latency")["latency"]

    assert found.verdict == "worse"
    assert found.low < 0.12 < found.high
    assert found.says.startswith("2 is slower than 1: latency +")
    assert " instead of " in found.says
    assert found.p95_s > found.control_p95_s > found.control_value


def test_more_failures_are_told_in_points():
    found = lines(fed(8000, errors=(0.01, 0.05)), "errors")["errors"]

    assert found.verdict == "worse"
    assert found.low < 0.04 < found.high
    assert found.says.startswith("2 fails more often than 1: ")
    assert found.says.endswith(" points)")


def test_better_labels_are_better():
    found = lines(fed(4000, labels=(0.7, 0.9)), "labels")["labels"]

    assert found.verdict == "better"
    assert found.says.startswith("2 answers better than 1: ")


def test_equal_shares_are_told_to_be_so_after_a_long_time():
    found = lines(fed(40_000, errors=(0.002, 0.002)), "errors")["errors"]

    assert found.verdict == "same"
    assert found.says.startswith("no practical difference: ")
    assert found.more is None


def test_what_is_not_clear_yet_says_how_long_it_will_take():
    found = lines(fed(2000), "latency", "errors")

    assert {line.verdict for line in found.values()} == {"unclear"}
    for line in found.values():
        assert line.more > 0
        assert f"would be seen after about {line.more:,} more requests" in line.says


def test_a_forecast_is_about_right():
    """It is seen by then as often as not; by three times as much, nearly always."""
    before = lines(fed(3000, errors=(0.004, 0.004)), "errors")["errors"]
    after = lines(fed(3000 + 3 * before.more, errors=(0.004, 0.014), seed=2), "errors")["errors"]

    assert before.verdict == "unclear"
    assert after.verdict == "worse"


def test_nothing_heard_is_said():
    found = lines(Trial.of("m/1", {"m/1": 1.0, OTHER: 1.0}, 1, 0.0))

    assert {line.says for line in found.values()} == {"nothing was heard of 1 and 2 yet"}
    assert {line.value for line in found.values()} == {None}


def test_all_lines_share_one_alpha():
    """Of more metrics each interval is wider."""
    trial = fed(4000, labels=(0.7, 0.7))
    alone, together = lines(trial, "errors")["errors"], lines(trial)["errors"]

    assert together.low < alone.low
    assert together.high > alone.high


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        (["same", "same"], "same"),
        (["same", "unclear"], "unclear"),
        (["same", "worse"], "worse"),
        (["better", "unclear"], "better"),
        (["better", "worse", "same"], "mixed"),
    ],
)
def test_what_lines_mean_together(verdicts, expected):
    found = [Line("errors", OTHER, 1, 1, 0.0, 0.0, 0.0, 0.0, 0.0, verdict, None, "") for verdict in verdicts]

    assert overall(found) == expected


def test_times_are_for_people():
    assert [seconds(one) for one in (None, 0.0431, 2.345)] == ["unknown", "43.1 ms", "2.35 s"]
