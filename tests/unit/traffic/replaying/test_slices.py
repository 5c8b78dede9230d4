"""Where two versions differ is found, and by chance nothing is."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import hypergeom

from prism_core.traffic.replaying import counting
from prism_core.traffic.replaying.counting import (
    MOST_VALUES,
    Count,
    Features,
    cuts_of,
)
from prism_core.traffic.replaying.slices import chance_of, worst

COUNTRIES = ("DE", "FR", "US", "PL", "IT")


def counted(rows: int, differs, seed: int = 1) -> Features:
    """Count made-up rows, of which those differ that ``differs`` says."""
    drawn, features = random.Random(seed), Features()
    for _ in range(rows):
        row = {
            "country": drawn.choice(COUNTRIES),
            "age": drawn.uniform(18, 90),
            "children": drawn.randint(0, 4),
            "member": drawn.random() < 0.5,
            "income": None if drawn.random() < 0.1 else drawn.gauss(3000, 800),
        }
        features.add(row, differs(row, drawn))
    return features


def found(features: Features, independent: float = 1.0):
    return worst(features, independent)


def test_a_category_in_which_more_rows_differ():
    features = counted(3000, lambda row, drawn: drawn.random() < (0.31 if row["country"] == "DE" else 0.02))
    first = found(features)[0]
    assert (first.feature, first.said) == ("country", "country is DE")
    assert first.words.startswith("country is DE: 3")
    assert first.words.endswith("elsewhere 2 %")
    assert first.rows + first.elsewhere_rows == 3000


def test_a_range_in_which_all_rows_differ_lies_where_it_is():
    first = found(counted(5000, lambda row, drawn: row["age"] < 30))[0]
    assert first.feature == "age"
    cut = float(first.said.removeprefix("age below "))
    assert 23 < cut < 37
    assert first.differ > 0.7 * (first.differ + first.elsewhere_differ)


def test_a_range_in_the_middle():
    first = found(counted(5000, lambda row, drawn: 40 < row["age"] < 60))[0]
    assert first.said.startswith("age from ")
    assert "to below" in first.said


def test_where_in_a_slice_most_rows_differ_and_what_another_explains_is_left_out():
    """By itself a low income would be a slice too: all rows of it that differ are of the one country."""
    rich = 3200
    (one,) = found(
        counted(5000, lambda row, drawn: row["country"] == "DE" and (row["income"] or rich) < rich)
    )
    assert one.said == "country is DE"
    assert one.within == "of these 99 % where income below 3209, and 0 % of the others"


def test_two_slices_that_have_nothing_to_do_with_each_other_are_both_told():
    both = found(counted(5000, lambda row, drawn: row["country"] == "DE" or row["children"] == 3))
    assert {one.said for one in both} == {"country is DE", "children is 3"}


def test_of_many_rows_a_sample_is_kept(monkeypatch):
    monkeypatch.setattr(counting, "MOST_ROWS", 1500)
    features = counted(4000, lambda row, drawn: row["country"] == "DE")
    assert len(features.sample) == 1500
    assert [one.said for one in found(features)] == ["country is DE"]


def test_of_wide_rows_fewer_are_kept(monkeypatch):
    monkeypatch.setattr(counting, "MOST_CELLS", 600)
    wide = Features()
    for _ in range(50):
        wide.add({f"f{at}": at for at in range(30)}, False)
    assert len(wide.sample) == 20


def test_what_is_missing_is_a_value():
    assert found(counted(2000, lambda row, drawn: row["income"] is None))[0].said == "income is missing"


def test_truth_values_and_few_numbers_are_categories():
    assert found(counted(2000, lambda row, drawn: row["member"]))[0].said == "member is true"
    assert found(counted(2000, lambda row, drawn: row["children"] == 3))[0].said == "children is 3"


def test_by_chance_nothing_is_found():
    """A hundred recordings without a slice: chance may show one in a hundred of them."""
    shown = [bool(found(counted(400, lambda row, drawn: drawn.random() < 0.1, seed))) for seed in range(100)]
    assert sum(shown) <= 3


def test_rows_that_are_alike_count_for_fewer():
    features = counted(600, lambda row, drawn: drawn.random() < (0.3 if row["country"] == "DE" else 0.1))
    assert found(features)
    assert not found(features, independent=0.05)


def test_nothing_differs_and_nothing_is_there():
    assert found(counted(500, lambda row, drawn: False)) == []
    assert found(Features()) == []


@given(st.integers(1, 300), st.integers(0, 300), st.integers(0, 300), st.integers(0, 300))
def test_the_chance_is_that_of_fishers_exact_test(rows, differ, part, hits):
    differ, part = min(differ, rows), min(part, rows)
    hits = min(hits, part, differ)
    exact = hypergeom.sf(hits - 1, rows, differ, part)
    least = part * differ / rows
    if hits >= least:  # only such are asked for: elsewhere the sum does not end early
        assert chance_of(Count(rows, differ), Count(part, hits)) == pytest.approx(exact, rel=1e-6, abs=1e-12)


@given(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6), st.text(max_size=3)), max_size=50))
def test_numbers_are_parted_in_order_or_not_at_all(values):
    cuts = cuts_of(values)
    assert cuts is None or (list(cuts) == sorted(set(cuts)) and len(cuts) < 10)


def test_a_feature_of_endless_values_is_bounded():
    features = Features()
    for at in range(MOST_VALUES * 20):
        features.add({"id": f"user-{at}"}, at % 2 == 0)
    assert len(features.candidates()) == MOST_VALUES + 1


@given(
    st.lists(
        st.tuples(st.one_of(st.none(), st.booleans(), st.floats(-9, 9), st.text(max_size=2)), st.booleans())
    )
)
def test_a_part_holds_the_rows_that_it_counts(values):
    features = Features()
    for value, differs in values:
        features.add({"f": value}, differs)
    for candidate in features.candidates():
        inside = [differs for value, differs in values if candidate.holds({"f": value})]
        assert (candidate.count.rows, candidate.count.differ) == (len(inside), sum(inside))
