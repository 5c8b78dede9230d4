"""Summaries of many pairs of answers: parts add up to the whole, and they say what stands out."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.traffic.comparing import Agreement, Answer, compare
from prism_core.traffic.comparing.agreement import MOST_EXAMPLES
from prism_core.traffic.comparing.distribution import MOST_CLASSES, Distribution
from prism_core.traffic.comparing.wording import differs_most
from prism_core.traffic.sketch import Sketch


def answer(*predictions, latency_s=0.001):
    return Answer("application/json", json.dumps({"predictions": predictions}).encode(), latency_s=latency_s)


def summary(*pairs):
    agreement = Agreement()
    for at, (live, other) in enumerate(pairs):
        agreement.add(f"r{at}", live, other, compare(live, other))
    return agreement


def told(*pairs):
    return differs_most(summary(*pairs), "churn/3", "churn/4")


def test_distances_without_measure_are_kept_as_the_largest():
    """What is stored as JSON has no infinity."""
    found = summary(*[(answer(1e308), answer(-0.5))] * 3)
    again = msgspec.json.decode(msgspec.json.encode(found), type=Agreement)

    assert again == found
    assert again.outputs["predictions"].apart_most == 1e308


# --- sketches --------------------------------------------------------------------------------

numbers = st.floats(-1e8, 1e8).map(lambda x: 0.0 if abs(x) < 1e-8 else x)


def sketch_of(values):
    sketch = Sketch()
    for value in values:
        sketch.add(value)
    return sketch


@given(st.lists(numbers, min_size=1), st.floats(0, 1))
def test_quantiles_are_known_within_a_few_per_cent(values, share):
    true = sorted(values)[int(share * (len(values) - 1))]

    assert sketch_of(values).quantile(share) == pytest.approx(true, rel=0.026)


@given(st.lists(numbers), st.lists(numbers))
def test_sketches_add_up(some, more):
    whole = sketch_of(some)
    whole.merge(sketch_of(more))

    assert whole == sketch_of([*some, *more])


def test_an_empty_sketch_has_no_quantile_but_0():
    assert Sketch().quantile(0.5) == 0


@pytest.mark.parametrize("value", [1e-300, 1e300, -1e300, float("inf"), float("-inf")])
def test_any_number_has_a_bucket(value):
    assert sketch_of([value]).count == 1


# --- distributions ---------------------------------------------------------------------------


def distribution_of(values):
    distribution = Distribution()
    for value in values:
        distribution.add(value)
    return distribution


@given(st.lists(st.integers(0, 200).map(str)), st.lists(st.integers(0, 200).map(str)))
def test_classes_add_up_however_many_there_are(some, more):
    parts = distribution_of(some)
    parts.merge(distribution_of(more))

    assert parts == distribution_of([*some, *more])
    assert parts.labels == len(some) + len(more)
    assert len(parts.classes) <= MOST_CLASSES


def test_too_many_classes_are_counted_together():
    found = distribution_of([str(number) for number in range(1000)])

    assert (len(found.classes), found.other_classes) == (MOST_CLASSES, 1000 - MOST_CLASSES)


@given(st.lists(st.floats(-1e6, 1e6)), st.lists(st.floats(-1e6, 1e6)))
def test_means_and_deviations_add_up(some, more):
    parts, whole = distribution_of(some), distribution_of([*some, *more])
    parts.merge(distribution_of(more))

    assert parts.numbers == whole.numbers
    assert parts.mean == pytest.approx(whole.mean, rel=1e-6, abs=1e-6)
    assert parts.deviation == pytest.approx(whole.deviation, rel=1e-6, abs=1e-3)


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True)))
def test_no_number_ends_the_arithmetic(values):
    found = distribution_of(values)

    assert found.numbers + found.missing == len(values)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Distribution) == found


# --- agreement -------------------------------------------------------------------------------

labels = st.lists(st.sampled_from("ab"), min_size=1, max_size=3)
sides = st.one_of(
    labels.map(lambda rows: answer(*rows)),
    st.lists(st.sampled_from([0.5, 1.0, 2.0]), min_size=1, max_size=3).map(lambda rows: answer(*rows)),
    st.sampled_from(["model_failed", "overloaded"]).map(lambda code: Answer(code=code)),
)
pairs = st.lists(st.tuples(st.uuids().map(str), sides, sides), max_size=20)


def agreement_of(some):
    agreement = Agreement()
    for request, live, other in some:
        agreement.add(request, live, other, compare(live, other))
    return agreement


@given(pairs, pairs)
def test_summaries_add_up(some, more):
    parts, whole = agreement_of(some), agreement_of([*some, *more])
    parts.merge(agreement_of(more))

    assert rounded(parts) == rounded(whole)


@given(pairs)
def test_summaries_survive_being_written(some):
    agreement = agreement_of(some)

    assert msgspec.json.decode(msgspec.json.encode(agreement), type=Agreement) == agreement
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(agreement), type=Agreement) == agreement


def rounded(value):
    """Return a summary as plain values, without what rounding does to sums."""
    if isinstance(value, Agreement):
        return rounded(msgspec.to_builtins(value))
    if isinstance(value, dict):
        return {name: rounded(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(one) for one in value]
    return round(value, 6) if isinstance(value, float) else value


def test_the_largest_disagreements_are_kept_as_examples():
    half = [(answer("a", "b"), answer("a", "a"))] * 20
    whole = [(answer("a"), answer("b"))] * 3

    found = summary(*half, *whole).examples

    assert len(found) == MOST_EXAMPLES
    assert [one.disagreement for one in found[:4]] == [1, 1, 1, 0.5]
    assert found[0].live == '{"predictions": ["a"]}'
    assert found[0].said == 'row 1 of predictions: "a" / "b"'


def test_long_answers_are_cut_off_in_examples_and_bytes_are_not_shown():
    long, other = answer("a" * 1000), answer("b")
    found = summary((long, other), (Answer("image/png", b"\xff\xfe"), Answer("image/png", b"")))

    assert {len(one.live) for one in found.examples} == {403, len("2 bytes of image/png")}


def test_the_interval_is_that_of_wilson_where_each_request_is_a_row():
    found = summary(*[(answer("a"), answer("a"))] * 90, *[(answer("a"), answer("b"))] * 10)

    assert found.share == 0.9
    assert found.interval == pytest.approx((0.8256, 0.9448), abs=1e-3)


def test_rows_that_always_agree_together_count_once():
    """A thousand rows of ten requests are no thousand independent ones."""
    together = summary(
        *[(answer(*"a" * 100), answer(*"a" * 100))] * 9, (answer(*"a" * 100), answer(*"b" * 100))
    )
    alone = summary(*[(answer("a"), answer("a"))] * 9, (answer("a"), answer("b")))

    assert together.share == alone.share == 0.9
    assert together.interval == pytest.approx(alone.interval)


@given(pairs)
def test_the_share_lies_in_its_interval(some):
    found = agreement_of(some)

    low, high = found.interval
    assert 0 <= low <= high <= 1
    if found.rows:
        assert low - 1e-9 <= found.share <= high + 1e-9


# --- words -----------------------------------------------------------------------------------

SAME = (answer("a"), answer("a"))
DIFFERENT = (answer("a"), answer("b"))
SLOW = (answer("a"), answer("a", latency_s=0.1))
QUICK = (answer("a", latency_s=0.1), answer("a"))
FAILED = (answer("a"), Answer(code="model_failed"))
SHORT = (answer("a", "b"), answer("a"))
NUMBER = (answer(1.0), answer(2.0))
PROBABILITIES = (answer([0.5, 0.5]), answer([0.25, 0.75]))


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ([], "Nothing has been compared yet."),
        ([SAME] * 50, "churn/4 answers like churn/3."),
        (
            [SAME, SAME, SAME, DIFFERENT],
            '1 of 4 rows of predictions differ; in 1 of them churn/4 says "b" where churn/3 says "a".',
        ),
        (
            [FAILED, SAME],
            "churn/4 fails for 50.0% of the requests, churn/3 for 0.0%, mostly with model_failed.",
        ),
        (
            [FAILED[::-1]],
            "churn/4 fails for 0.0% of the requests, churn/3 for 100.0%, mostly with model_failed.",
        ),
        (
            [SHORT] * 2,
            "Of 100% of the requests nothing can be compared: they answer with different numbers of rows.",
        ),
        (
            [NUMBER] * 2,
            "2 of 2 rows of predictions differ: they are 1 apart in the mean, 1 at most; "
            "the mean of churn/4 is 2, of churn/3 1.",
        ),
        (
            [PROBABILITIES],
            "1 of 1 rows of predictions differ: another class is the likeliest; "
            "probabilities are up to 0.25 apart.",
        ),
        ([SLOW] * 40, "churn/4 is slower: 95 % of its answers take up to 98.5 ms, of churn/3 1 ms."),
        ([QUICK] * 40, "churn/4 is quicker: 95 % of its answers take up to 1 ms, of churn/3 98.5 ms."),
    ],
)
def test_what_differs_most_is_said(pairs, words):
    assert told(*pairs) == words
