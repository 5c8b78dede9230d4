"""Everything that is wrong with a request, said once."""

import pytest

from prism_core.fitting.faults import REPORTED, Faults
from prism_core.plugin import InvalidInput


def told(*found):
    faults = Faults()
    for row, column, hint in found:
        faults.add(row, column, "FP64", "'x'", hint)
    with pytest.raises(InvalidInput) as caught:
        faults.check()
    return caught.value


def test_faults_are_told_by_row_though_columns_are_read_one_after_the_other():
    error = told((3, "age", ""), (9, "age", "later"), (0, "plan", "first"), (3, "plan", ""))

    assert [(one["row"], one["column"]) for one in error.details["errors"]] == [
        (0, "plan"),
        (3, "age"),
        (3, "plan"),
        (9, "age"),
    ]
    assert error.message.startswith("Row 0, column 'plan'")
    assert error.hint == "first"


def test_the_first_row_is_named_however_many_faults_were_found_before():
    error = told(*((row, "age", "") for row in range(1, REPORTED + 2)), (0, "plan", ""))

    assert error.message.startswith("Row 0, column 'plan'")
    assert len(error.details["errors"]) == REPORTED
    assert error.details["not_shown"] == 2
