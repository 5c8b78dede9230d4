"""Both forms are measured in turns at the sizes that executions can have."""

from __future__ import annotations

import numpy as np
import pytest

from prism_core.optimization import Pace
from prism_core.plugin import Batch
from prism_core.runtime.optimizing.pace import is_faster, measure, sizes_of
from prism_core.testing import Doubler


@pytest.mark.parametrize(
    ("most", "joins", "sizes"),
    [(1024, True, (1, 16, 256)), (16, True, (1, 16)), (1, True, (1,)), (1024, False, (1,))],
)
def test_the_sizes_are_those_in_use(most, joins, sizes):
    assert sizes_of(most, joins) == sizes


def test_forms_are_executed_in_turns_with_as_many_rows_as_asked():
    turns = []

    class Noting(Doubler):
        def predict(self, inputs):
            turns.append((self, inputs.rows))
            return super().predict(inputs)

    original, twin = Noting(), Noting()
    pace = measure(original, twin, Batch({"input": np.ones((20, 1))}), 16)

    assert {rows for _, rows in turns} == {16}
    changes = sum(turns[i][0] is not turns[i + 1][0] for i in range(len(turns) - 1))
    assert changes >= 5  # at least three rounds, whatever a round takes
    assert min(pace.original_us, pace.optimized_us) > 0


@pytest.mark.parametrize(
    ("speedups", "faster"),
    [
        ((30, 9, 1.2), True),
        ((30, 9, 0.95), True),
        ((30, 9, 0.8), False),
        ((1.0, 1.05, 1.0), False),
        ((), False),
    ],
)
def test_faster_is_on_the_whole_and_nowhere_slower(speedups, faster):
    assert is_faster(Pace(one * 10.0, 10.0) for one in speedups) is faster


def test_a_speedup_is_a_ratio():
    assert Pace(30.0, 10.0).speedup == 3
    assert Pace(30.0, 0.0).speedup == 0
