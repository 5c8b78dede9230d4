import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from prism_core.fitting.faults import Faults, quote
from prism_core.fitting.fit import cast, column_place, fit
from prism_core.plugin import InvalidInput, Signature, TensorSpec
from prism_core.types import NUMPY_TYPES

NUMBERS = [name for name, dtype in NUMPY_TYPES.items() if dtype.kind in "iuf"]


def rows(faults):
    try:
        faults.check()
    except InvalidInput as error:
        return [entry["row"] for entry in error.details["errors"]]
    return []


@given(st.sampled_from(NUMBERS), st.sampled_from(NUMBERS), st.data())
def test_a_cast_loses_nothing_but_digits(source, target, data):
    array = data.draw(arrays.arrays(NUMPY_TYPES[source], 3))
    spec = TensorSpec("x", target, (-1,))
    faults = Faults()
    done = cast(array, spec, faults, column_place("x"))

    bad = [not kept(one, spec.dtype) for one in array.tolist()]
    assert rows(faults) == [row for row, one in enumerate(bad) if one]
    if not faults.count:
        assert done.dtype == spec.dtype
        if done.dtype.kind in "iu":
            assert done.tolist() == array.tolist()
        else:
            assert np.array_equal(done, array.astype(np.float64).astype(spec.dtype), equal_nan=True)


def kept(one, dtype):
    """Whether a Python number may become ``dtype``, said as plainly as possible."""
    if dtype.kind in "iu":
        return np.isfinite(one) and one == int(one) and np.iinfo(dtype).min <= one <= np.iinfo(dtype).max
    if isinstance(one, int) and int(float(one)) != one:
        return False
    with np.errstate(over="ignore"):
        return not np.isfinite(one) or bool(np.isfinite(np.float64(one).astype(dtype)))


def test_an_array_that_is_not_aligned_is_copied():
    raw = np.frombuffer(b"\x00" + np.ones(3).tobytes(), np.uint8)[1:].view(np.float64)
    assert not raw.flags.aligned

    assert cast(raw, TensorSpec("x", "FP64", (-1,)), Faults(), column_place("x")).flags.aligned


@pytest.mark.parametrize("before", range(0, 64, 4))
def test_a_small_array_lies_where_any_other_does_whatever_stood_before_it(before):
    body = bytes(before) + np.ones(30, np.float32).tobytes()
    view = np.frombuffer(body, np.float32, offset=before)

    assert not np.shares_memory(cast(view, TensorSpec("x", "FP32", (-1,)), Faults(), column_place("x")), view)


def test_nan_passes_in_a_tensor_and_is_missing_in_a_column():
    spec = TensorSpec("x", "FP64", (-1,))

    assert np.isnan(fit({"x": np.array([np.nan])}, Signature((spec,), ()))["x"]).all()
    with pytest.raises(InvalidInput, match="column 'x': expected FP64, got nan"):
        fit({"x": np.array([np.nan])}, Signature((spec,), (), columnar=True))


@pytest.mark.parametrize("value", ["x" * 10**6, b"\xff" * 100, [1] * 5, {}, None, True, 1e300, ()], ids=type)
def test_anything_is_quoted_briefly(value):
    assert len(quote(value)) <= 60


def test_an_integer_too_long_for_python_to_write_is_quoted_too():
    assert quote(10**5000) == "an integer of 16610 bits"
