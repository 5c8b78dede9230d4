import json
import math

import numpy as np
import pytest

from prism_core.inputs import json_quick
from prism_core.plugin import InvalidInput, MalformedBody, Signature, TensorSpec

OUTPUTS = (TensorSpec("predictions", "FP64", (-1,)), TensorSpec("probabilities", "FP64", (-1, 2)))


def signature(*inputs, **named):
    return Signature(inputs, OUTPUTS, **named)


MATRIX = signature(TensorSpec("x", "FP64", (-1, 3)))
NAMED = signature(TensorSpec("x", "FP64", (-1, 3), columns=("a", "b", "c")))
INTEGERS = signature(TensorSpec("x", "INT64", (-1, 2)))
LONE = signature(TensorSpec("x", "FP32", (-1, 1)))
TEXT = signature(TensorSpec("text", "BYTES", (-1,)))
PIXELS = signature(TensorSpec("pixels", "FP32", (-1, 1, 2, 2)))
TABLE = signature(
    TensorSpec("tenure", "INT64", (-1,)),
    TensorSpec("plan", "BYTES", (-1,)),
    TensorSpec("charge", "FP64", (-1, 1), nullable=True),
    columnar=True,
)
TWO = signature(TensorSpec("a", "FP32", (-1, 2)), TensorSpec("b", "INT64", (-1,)))
FIXED = signature(TensorSpec("x", "FP32", (2, 2)), batch_axis=False)

ROWS = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
RECORD = {"tenure": 3, "plan": "basic", "charge": 1.5}


@pytest.mark.parametrize("key", ["input", "inputs", "instances"])
@pytest.mark.parametrize(
    ("value", "model", "expected"),
    [
        (ROWS, MATRIX, {"x": ROWS}),
        (ROWS[0], MATRIX, {"x": ROWS[:1]}),
        ({"x": ROWS}, MATRIX, {"x": ROWS}),
        ({"x": ROWS[0]}, MATRIX, {"x": ROWS[:1]}),
        ([{"x": ROWS[0]}, {"x": ROWS[1]}], MATRIX, {"x": ROWS}),
        (ROWS, NAMED, {"x": ROWS}),
        ({"x": ROWS}, NAMED, {"x": ROWS}),
        ([{"c": 3, "b": 2, "a": 1}], NAMED, {"x": ROWS[:1]}),
        ({"a": 1, "b": 2, "c": 3}, NAMED, {"x": ROWS[:1]}),
        ({"a": [1, 4], "b": [2, 5], "c": [3, 6]}, NAMED, {"x": ROWS}),
        ({"columns": ["b", "a", "c"], "data": [[2, 1, 3]], "index": [0]}, NAMED, {"x": ROWS[:1]}),
        ([[1, 2], [3.0, 4e0]], INTEGERS, {"x": [[1, 2], [3, 4]]}),
        ([1, 2], LONE, {"x": [[1], [2]]}),
        (1, LONE, {"x": [[1]]}),
        ([[1], [2]], LONE, {"x": [[1], [2]]}),
        ("hello", TEXT, {"text": ["hello"]}),
        (["a", "b"], TEXT, {"text": ["a", "b"]}),
        ([["a"], ["b"]], TEXT, {"text": ["a", "b"]}),
        ([{"text": "a"}], TEXT, {"text": ["a"]}),
        ([[[[1, 2], [3, 4]]]], PIXELS, {"pixels": [[[[1, 2], [3, 4]]]]}),
        ([[[1, 2], [3, 4]]], PIXELS, {"pixels": [[[[1, 2], [3, 4]]]]}),
        ([RECORD], TABLE, {"tenure": [3], "plan": ["basic"], "charge": [[1.5]]}),
        (RECORD, TABLE, {"tenure": [3], "plan": ["basic"], "charge": [[1.5]]}),
        ([3, "basic", 1.5], TABLE, {"tenure": [3], "plan": ["basic"], "charge": [[1.5]]}),
        ([[3, "a", 1], [4.0, "b", 2]], TABLE, {"tenure": [3, 4], "plan": ["a", "b"], "charge": [[1], [2]]}),
        (
            {"tenure": [3], "plan": ["a"], "charge": [1]},
            TABLE,
            {"tenure": [3], "plan": ["a"], "charge": [[1]]},
        ),
        ({"a": [[1, 2]], "b": [3]}, TWO, {"a": [[1, 2]], "b": [3]}),
        ({"a": [1, 2], "b": 3}, TWO, {"a": [[1, 2]], "b": [3]}),
        ([{"a": [1, 2], "b": 3}], TWO, {"a": [[1, 2]], "b": [3]}),
        ([[1, 2], [3, 4]], FIXED, {"x": [[1, 2], [3, 4]]}),
        ({"x": [[1, 2], [3, 4]]}, FIXED, {"x": [[1, 2], [3, 4]]}),
    ],
)
def test_every_form_under_every_key(read, key, value, model, expected):
    tensors = read({key: value}, model).tensors

    assert {name: tensor.tolist() for name, tensor in tensors.items()} == expected
    assert {name: tensor.dtype for name, tensor in tensors.items()} == {s.name: s.dtype for s in model.inputs}


def test_a_bare_list_is_the_input(read):
    assert read(ROWS, MATRIX)["x"].tolist() == ROWS


def test_outputs_and_parameters_travel_with_the_batch(read):
    batch = read({"input": ROWS, "outputs": ["probabilities"], "parameters": {"threshold": 0.3}}, MATRIX)

    assert batch.outputs == ("probabilities",)
    assert batch.parameters == {"threshold": 0.3}


def test_outputs_and_parameters_travel_with_a_rare_form_too(read):
    batch = read({"inputs": {"x": ROWS}, "outputs": ["probabilities"], "parameters": {"t": 1}}, MATRIX)

    assert (batch.outputs, batch.parameters) == (("probabilities",), {"t": 1})


def test_null_is_nan_where_the_signature_allows_it(read):
    charge = read({"input": [{**RECORD, "charge": None}, RECORD]}, TABLE)["charge"]

    assert math.isnan(charge[0, 0])
    assert charge[1, 0] == 1.5


def test_the_last_of_two_equal_keys_wins(read):
    assert read(b'{"input": [[9,9,9]], "input": [[1,2,3]]}', MATRIX)["x"].tolist() == ROWS[:1]


@pytest.mark.parametrize(
    ("value", "model", "places"),
    [
        ([[1, "x", 3], [1, 2, True]], MATRIX, [(0, 1), (1, 2)]),
        ([[1, "x", 3]], NAMED, [(0, "b")]),
        ([[1, None, 3]], NAMED, [(0, "b")]),
        ([[1, 2], [1, 2, 3], [1, 2, 3, 4]], MATRIX, [(0, ""), (2, "")]),
        ([[1, [2], 3]], MATRIX, [(0, 1)]),
        ([[1, 2, 3], 4], MATRIX, [(1, "x")]),
        ([[2**53 + 1, 2, 3]], MATRIX, [(0, 0)]),
        ([[10**400, 2, 3]], MATRIX, [(0, 0)]),
        ([[1.5, 2]], INTEGERS, [(0, 0)]),
        ([[2**63, -(2**63) - 1]], INTEGERS, [(0, 0), (0, 1)]),
        ([1e39], LONE, [(0, 0)]),
        ([3, None], TEXT, [(0, "text"), (1, "text")]),
        ([{**RECORD, "tenure": 1.5}, {**RECORD, "plan": 7}], TABLE, [(0, "tenure"), (1, "plan")]),
        ([{**RECORD, "tenure": "3"}], TABLE, [(0, "tenure")]),
        ([{**RECORD, "tenure": None}], TABLE, [(0, "tenure")]),
        ([{"tenure": 3, "charge": 1}], TABLE, [(0, "plan")]),
        ([RECORD, {**RECORD, "extra": 1}], TABLE, [(1, "extra")]),
        ([RECORD, 5], TABLE, [(1, "")]),
        ([[3, "a"]], TABLE, [(0, "")]),
        ({"tenure": [3], "plan": "a", "charge": [1]}, TABLE, [(0, "plan")]),
        ({"columns": ["tenure", "plan"], "data": [[3, "a"]]}, TABLE, [(0, "charge")]),
        ({"a": [[1, 2]]}, TWO, [(0, "b")]),
        ({"a": [[1, "q"]], "b": [1.5]}, TWO, [(0, 1), (0, "b")]),
        ([[1, 2]], FIXED, [(0, "")]),
    ],
)
def test_every_fault_is_told_with_its_row_and_column(faults, value, model, places):
    assert faults({"input": value}, model) == places


def test_all_faults_of_a_table_come_at_once(faults):
    value = [{"tenure": 1.5, "pln": "b", "charge": 1}, {"tenure": "3", "plan": 2, "charge": True}]

    assert set(faults({"input": value}, TABLE)) == {
        *[(0, "pln"), (0, "plan"), (0, "tenure")],
        *[(1, "tenure"), (1, "plan"), (1, "charge")],
    }


def test_a_typing_error_in_a_column_is_recognised(read):
    with pytest.raises(InvalidInput) as caught:
        read({"input": [{"tenure": 3, "pln": "basic", "charge": 1}]}, TABLE)

    assert caught.value.hint == "Did you mean 'plan'?"
    assert "'pln'" in caught.value.message


def test_the_message_names_the_first_place_and_the_count(read):
    with pytest.raises(InvalidInput, match=r"Row 0, column 'b': expected FP64, got 'x' \(2 faults in all\)"):
        read({"input": [[1, "x", 3], [1, 2, "y"]]}, NAMED)


def test_a_flood_of_faults_is_counted_and_cut(read):
    with pytest.raises(InvalidInput) as caught:
        read({"input": [["x", 0, 0]] * 250}, MATRIX)

    details = caught.value.details
    assert (len(details["errors"]), details["count"], details["not_shown"]) == (100, 250, 150)


def test_a_body_of_nothing_but_faults_is_given_up(read):
    with pytest.raises(InvalidInput, match=r"at least 10000 faults"):
        read({"input": [["x"] * 3] * 20_000}, MATRIX)


def test_a_huge_value_is_not_repeated(read):
    with pytest.raises(InvalidInput) as caught:
        read({"input": [["x" * 100_000, 0, 0]]}, MATRIX)

    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"input": [[NaN, 1, 2]]}',
        b'{"input": [[Infinity, 1, 2]]}',
        b"\xff",
        b'{"input": "\xff"}',
        b"[" * 10_000,
        b'{"input": [[1,2,3]]} x',
        b'{"input": [[1,2,3],]}',
        b'"\\ud800"',
        b'{"input": [[01,2,3]]}',
    ],
)
def test_what_is_not_json_is_malformed(read, body):
    with pytest.raises(MalformedBody):
        read(body, MATRIX)


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        ({"inptu": ROWS}, "Did you mean 'input'?"),
        ({"input": ROWS, "output": []}, "Did you mean 'outputs'?"),
        ({"tenure": 3}, "Wrap"),
        ({"input": ROWS, "instances": ROWS}, "Send one"),
        ({"input": ROWS, "outputs": "probabilities"}, "outputs"),
        ({"input": ROWS, "outputs": [1]}, "outputs"),
        ({"input": ROWS, "parameters": [1]}, "parameters"),
        ({"outputs": []}, "Wrap"),
        (3, ""),
        (None, ""),
        ({"input": []}, "at least one row"),
        ({"input": {"a": [1], "b": [1, 2]}}, ""),
    ],
)
def test_a_body_of_another_form_is_refused_with_a_hint(read, body, hint):
    with pytest.raises(InvalidInput) as caught:
        read(body, MATRIX)

    assert hint in caught.value.hint


@pytest.mark.parametrize("model", [TEXT, TABLE, TWO, PIXELS, FIXED], ids=lambda model: model.inputs[0].name)
def test_a_body_without_input_is_refused_by_every_model(read, model):
    with pytest.raises(InvalidInput):
        read({"outputs": []}, model)


def test_inputs_with_different_numbers_of_rows_are_refused(read):
    with pytest.raises(InvalidInput, match=r"different numbers of rows: a 1, b 2"):
        read({"input": {"a": [[1, 2]], "b": [1, 2]}}, TWO)


def test_a_bare_value_for_several_inputs_names_them(read):
    with pytest.raises(InvalidInput, match="a, b"):
        read({"input": [[1, 2]]}, TWO)


@pytest.mark.parametrize(
    "datatype", ["INT8", "UINT8", "INT16", "UINT16", "INT32", "UINT32", "INT64", "UINT64"]
)
def test_integers_reach_exactly_to_their_bounds(read, faults, datatype):
    model = signature(TensorSpec("x", datatype, (-1, 2)))
    info = np.iinfo(model.inputs[0].dtype)

    assert read({"input": [[int(info.min), int(info.max)]]}, model)["x"].tolist() == [[info.min, info.max]]
    assert faults({"input": [[int(info.min) - 1, int(info.max) + 1]]}, model) == [(0, 0), (0, 1)]


def test_halves_reach_to_their_largest(read, faults):
    model = signature(TensorSpec("x", "FP16", (-1, 1)))

    assert read({"input": [65504]}, model)["x"].tolist() == [[65504.0]]
    assert faults({"input": [70000]}, model) == [(0, 0)]


def test_large_but_exact_numbers_pass(read):
    assert read({"input": [[2**53, 1e300, -(2**60)]]}, MATRIX)["x"].tolist() == [[2.0**53, 1e300, -(2.0**60)]]


def test_bools_are_bools_and_nothing_else_is(read, faults):
    model = signature(TensorSpec("x", "BOOL", (-1, 2)))

    assert read({"input": [[True, False]]}, model)["x"].tolist() == [[True, False]]
    assert faults({"input": [[1, "true"]]}, model) == [(0, 0), (0, 1)]


@pytest.mark.parametrize("name", ['say "x"', "back\\slash", "tab\t", "überzug", "a b", ""])
def test_a_column_may_have_any_name(read, name):
    model = signature(TensorSpec(name, "FP64", (-1,)), TensorSpec("other", "BYTES", (-1,)), columnar=True)

    assert read({"input": [{name: 1, "other": "x"}]}, model)[name].tolist() == [1.0]


def test_a_tensor_without_axes_is_a_scalar(read):
    assert read({"input": 3}, signature(TensorSpec("x", "FP32", ()), batch_axis=False))["x"].tolist() == 3.0


def test_an_empty_tensor_keeps_its_shape_without_a_batch_axis(read):
    model = signature(TensorSpec("x", "FP32", (-1, 3)), batch_axis=False)

    assert read({"input": []}, model)["x"].shape == (0, 3)


@pytest.mark.parametrize(
    ("value", "model"),
    [
        (ROWS, MATRIX),
        (ROWS[0], MATRIX),
        ([{"a": 1, "b": 2, "c": 3}], NAMED),
        ([RECORD], TABLE),
        ([RECORD, RECORD], TABLE),
        ([[3, "a", None]], TABLE),
        (["a"], TEXT),
        ({"a": [[1, 2]], "b": [3]}, TWO),
    ],
)
def test_the_usual_forms_go_the_quick_way(value, model):
    """The careful way is correct for them too, but ten times slower."""
    assert json_quick.read(memoryview(json.dumps({"input": value}).encode()), model) is not None
