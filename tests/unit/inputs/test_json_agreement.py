"""The quick way, the careful way and a slow oracle must say the same of any body."""

import json
import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from prism_core.inputs import json_quick
from prism_core.inputs.json_forms import arrange
from prism_core.inputs.json_in import unwrap
from prism_core.plugin import InvalidInput, PrismError, Request, Signature, TensorSpec

OUTPUTS = (TensorSpec("y", "FP64", (-1,)),)
SIGNATURES = [
    Signature((TensorSpec("x", "FP64", (-1, 2), columns=("a", "b")),), OUTPUTS),
    Signature((TensorSpec("x", "FP32", (-1, -1), nullable=True),), OUTPUTS),
    Signature((TensorSpec("x", "INT8", (-1, 1)),), OUTPUTS),
    Signature((TensorSpec("x", "BYTES", (-1,)),), OUTPUTS),
    Signature((TensorSpec("x", "BYTES", (-1, 2), nullable=True),), OUTPUTS),
    Signature((TensorSpec("x", "UINT64", (-1,)),), OUTPUTS),
    Signature((TensorSpec("x", "FP16", (-1, 2, 1)),), OUTPUTS),
    Signature((TensorSpec("x", "FP64", (2,)),), OUTPUTS, batch_axis=False),
    Signature((TensorSpec("a", "INT64", (-1,)),), OUTPUTS, columnar=True),
    Signature((TensorSpec("a", "BYTES", (-1, 1), nullable=True),), OUTPUTS, columnar=True),
    Signature((TensorSpec("a", "FP64", (-1,)), TensorSpec("b", "FP64", (-1,))), OUTPUTS, columnar=True),
    Signature((TensorSpec("a", "INT64", (-1,)), TensorSpec("b", "BYTES", (-1,))), OUTPUTS, columnar=True),
    Signature((TensorSpec("a", "BOOL", (-1,)), TensorSpec("b", "FP32", (-1, 2))), OUTPUTS),
]

numbers = st.one_of(
    st.integers(-3, 3),
    st.integers(),
    st.sampled_from([2**53, 2**53 + 1, 2**63, 2**64 - 1, 127, 128, 65504, 65520, 1e39, 3.0, 0.1]),
    st.floats(allow_nan=False, allow_infinity=False),
)
scalars = st.one_of(numbers, numbers, st.text(max_size=2), st.none(), st.booleans())
rows = st.lists(scalars, max_size=3)
records = st.dictionaries(st.sampled_from(["a", "b", "x", "c"]), scalars | rows, max_size=3)
values = st.one_of(
    scalars,
    rows,
    records,
    st.lists(st.tuples(numbers, numbers).map(list), max_size=3),
    st.lists(st.tuples(numbers, st.text(max_size=2)).map(list), max_size=3),
    st.lists(st.fixed_dictionaries({"a": numbers, "b": st.text(max_size=2)}), max_size=3),
    st.lists(st.fixed_dictionaries({"a": numbers, "b": numbers}), max_size=3),
    st.lists(rows, max_size=3),
    st.lists(records, max_size=3),
    st.lists(st.lists(rows, max_size=3), max_size=3),
)


@settings(deadline=None)  # the first example compiles and imports
@given(st.sampled_from(SIGNATURES), values)
def test_the_quick_way_says_what_the_careful_way_says(same, model, value):
    body = json.dumps({"input": value}).encode()
    quick = json_quick.read(memoryview(body), model)
    if quick is not None:
        careful = arrange(unwrap(json.loads(body))[0], model, Request({}, {}))

        assert same(dict(quick.tensors), dict(careful.tensors))


@settings(deadline=None)
@given(st.sampled_from(SIGNATURES), values)
def test_whatever_is_accepted_has_the_shape_and_type_of_the_signature(read, model, value):
    try:
        batch = read({"input": value}, model)
    except PrismError:
        return

    for spec in model.inputs:
        assert batch[spec.name].dtype == spec.dtype
        assert len(batch[spec.name].shape) == len(spec.shape)
        assert all(want in (-1, got) for want, got in zip(spec.shape, batch[spec.name].shape, strict=True))


TABLE = SIGNATURES[11]


def slow_table(value):
    """Read records or rows of TABLE in the plainest way there is; None: it must be refused."""
    a, b = [], []
    for row in value:
        x, y = (row["a"], row["b"]) if isinstance(row, dict) else row
        if isinstance(x, bool) or not isinstance(x, int | float) or x != int(x) or not isinstance(y, str):
            return None
        if not -(2**63) <= x < 2**63:
            return None
        a.append(int(x))
        b.append(y)
    return {"a": a, "b": b}


@settings(deadline=None)
@given(st.lists(st.fixed_dictionaries({"a": scalars, "b": scalars}), min_size=1, max_size=4))
def test_records_are_read_as_a_slow_oracle_reads_them(read, value):
    expected = slow_table(value)
    try:
        batch = read({"input": value}, TABLE)
    except InvalidInput:
        assert expected is None
    else:
        assert {name: tensor.tolist() for name, tensor in batch.tensors.items()} == expected


FLOATS = SIGNATURES[0]


@settings(deadline=None)
@given(st.lists(st.tuples(scalars, scalars).map(list), min_size=1, max_size=4))
def test_a_number_arrives_unchanged_or_not_at_all(read, value):
    def exact(one):
        if isinstance(one, bool) or not isinstance(one, int | float):
            return False
        try:
            return float(one) == one and math.isfinite(float(one))
        except OverflowError:
            return False

    good = all(exact(one) for row in value for one in row)
    try:
        x = read({"input": value}, FLOATS)["x"]
    except InvalidInput:
        assert not good
    else:
        assert good
        assert np.array_equal(x, np.array(value, dtype=np.float64))
