"""What is added up of an experiment, and what is kept apart."""

from __future__ import annotations

import math

import msgspec
import pytest

from prism_core.traffic.statistics.rates import Pair, Rate
from prism_core.traffic.trial import (
    MOST_PERIODS,
    SLICE_REQUESTS,
    SLICE_S,
    WINDOW_RECORDS,
    WINDOW_SLICES,
    Latencies,
    Trial,
    Window,
)

WEIGHTS = {"m/1": 90.0, "m/2": 10.0}


@pytest.fixture
def trial() -> Trial:
    return Trial.of("m/1", WEIGHTS, 7, 0.0)


def test_records_are_added_to_the_weights_under_which_they_were_drawn(trial):
    trial.called(7, "m/1", 1.0, failed=False, total_s=0.01)
    trial.called(7, "m/2", 1.0, failed=True, total_s=None)
    trial.weigh({"m/1": 50.0, "m/2": 50.0}, 9)
    trial.called(9, "m/1", 2.0, failed=False, total_s=0.01)
    trial.called(8, "m/2", 2.0, failed=False, total_s=0.01)  # it had begun before
    trial.rated("labels", 7, "m/2", 0.5)

    assert trial.pairs("errors", "m/2") == [Pair(Rate(1, 0), Rate(2, 1))]
    assert trial.rate("errors", "m/1") == Rate(2, 0)
    assert trial.periods[0].rate("labels", "m/2") == Rate(1, 0.5)


def test_the_same_parts_of_the_traffic_are_no_change(trial):
    trial.weigh({"m/1": 9.0, "m/2": 1.0}, 8)

    assert len(trial.periods) == 1


def test_many_changes_are_kept_in_bounds_and_nothing_is_lost(trial):
    for number in range(3 * MOST_PERIODS):
        trial.weigh({"m/1": 100.0 - number, "m/2": 10.0}, 8 + number)
        trial.rated("errors", 8 + number, "m/2", 1.0)
        trial.rated("errors", 8 + number, "m/1", 0.0)

    assert len(trial.periods) == MOST_PERIODS
    assert trial.rate("errors", "m/2") == Rate(3 * MOST_PERIODS, 3 * MOST_PERIODS)
    assert trial.periods[0].since == 7


def test_a_window_begins_anew_where_it_is_full():
    window = Window()
    for _ in range(WINDOW_RECORDS):
        window.add(0.0, control=True)
        window.add(1.0, control=False)
    assert (window.number, window.other.n) == (1, WINDOW_RECORDS)

    window.add(1.0, control=True)

    assert (window.number, window.control, window.other) == (2, Rate(1, 1), Rate())


def test_late_news_of_old_weights_are_not_in_the_window(trial):
    trial.rated("errors", 7, "m/2", 1.0)
    trial.weigh({"m/1": 50.0, "m/2": 50.0}, 8)
    trial.rated("errors", 7, "m/2", 1.0)

    assert trial.windows["errors"]["m/2"] == Window(number=2)
    assert trial.rate("errors", "m/2").n == 2


def test_a_slice_ends_when_it_is_long_enough_and_both_arms_have_enough():
    latencies = Latencies()

    def add(at, control):
        return latencies.add(at, math.log(0.02 if control else 0.03), control=control)

    for number in range(SLICE_REQUESTS):
        assert not add(0.1 * number, control=True)
    assert not add(SLICE_S, control=False)
    for _ in range(SLICE_REQUESTS - 2):
        assert not add(SLICE_S, control=False)
    assert add(SLICE_S, control=False)

    assert latencies.whole.slices == 1
    assert latencies.whole.mean == pytest.approx(math.log(1.5))
    assert latencies.other == Rate()


def test_a_window_of_slices_ends_and_the_whole_goes_on():
    latencies = Latencies()
    for number in range(WINDOW_SLICES + 1):
        for control in (True, False):
            for _ in range(SLICE_REQUESTS):
                latencies.add(number * 10.0 + SLICE_S * (not control), 0.0, control=control)

    assert (latencies.number, latencies.recent.slices) == (2, 1)
    assert latencies.whole.slices == WINDOW_SLICES + 1


def test_only_latencies_that_say_something_are_counted(trial):
    trial.called(7, "m/2", 1.0, failed=True, total_s=None)
    trial.called(7, "m/2", 1.0, failed=False, total_s=0.0)

    assert trial.sketches == {}
    assert trial.latencies == {}


def test_the_control_s_failures_of_late_are_known(trial):
    for _ in range(60):
        trial.called(7, "m/1", 1.0, failed=True, total_s=None)
    assert trial.control_fails > 0.9
    for _ in range(60):
        trial.called(7, "m/1", 1.0, failed=False, total_s=0.1)
    assert trial.control_fails < 0.1


def test_three_arms_are_all_compared_with_the_control():
    trial = Trial.of("m/2", {"m/1": 1.0, "m/2": 1.0, "m/3": 1.0}, 1, 0.0)
    trial.called(1, "m/2", 0.0, failed=True, total_s=None)
    trial.called(1, "m/3", 0.0, failed=False, total_s=0.1)

    assert trial.arms == ("m/2", "m/1", "m/3")
    assert trial.windows["errors"]["m/1"].control == Rate(1, 1)
    assert trial.windows["errors"]["m/3"].control == Rate(1, 1)
    assert trial.windows["errors"]["m/3"].other == Rate(1, 0)


def test_it_survives_being_written_down(trial):
    for number in range(300):
        arm = "m/2" if number % 3 == 0 else "m/1"
        trial.called(7, arm, number * 0.1, failed=number % 10 == 0, total_s=0.01 + number / 1e4)
        trial.rated("labels", 7, arm, 0.7)

    again = msgspec.json.decode(msgspec.json.encode(trial), type=Trial)

    assert again == trial
    again.resume()
    assert again.latencies["m/2"].whole == trial.latencies["m/2"].whole
    assert again.latencies["m/2"].control == Rate()
