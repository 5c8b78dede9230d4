"""Tensors in the protocol's forms, and judgements of answers."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prism_oip.conformance.exchange import Answer, Unmet
from prism_oip.conformance.judging import (
    HEADER,
    alike,
    blamed,
    fits,
    fitting,
    inferred,
    object_of,
    refused,
    spec_of,
    typed,
)
from prism_oip.conformance.tensors import DATATYPES, Spec, Tensor, differ, from_list, from_raw, made

SHAPES = st.lists(st.integers(0, 4), max_size=3).map(tuple)


@given(st.sampled_from(sorted(DATATYPES)), SHAPES, st.booleans())
def test_a_tensor_comes_back_from_each_of_its_forms(datatype, shape, plain):
    tensor = made(Spec("x", datatype, shape), plain=plain)

    for nested in (False, True):
        if shape:
            text = json.loads(json.dumps(tensor.listed(nested=nested)))
            assert differ(from_list("x", datatype, shape, text), tensor) == ""
    assert differ(from_raw("x", datatype, shape, tensor.raw()), tensor) == ""


@given(st.sampled_from(sorted(DATATYPES)), SHAPES, st.binary(max_size=40))
def test_bytes_are_a_tensor_or_are_refused(datatype, shape, data):
    try:
        tensor = from_raw("x", datatype, shape, data)
    except Unmet:
        return
    assert tensor.shape == shape
    if datatype != "BOOL":
        assert tensor.raw() == data


@pytest.mark.parametrize(
    ("datatype", "data"),
    [
        ("FP32", ["1"]), ("FP32", [None]), ("FP32", [10**400]), ("INT8", [128]), ("INT8", [1.5]),
        ("UINT64", [-1]),
        ("BOOL", [2]), ("BYTES", [1]), ("INT64", 7), ("INT64", [1, 2]), ("INT64", []), ("INT64", [[1], 2]),
    ],
)  # fmt: skip
def test_what_a_datatype_cannot_hold_is_refused(datatype, data):
    with pytest.raises(Unmet):
        from_list("x", datatype, (1,), data)


def test_numbers_may_differ_in_rounding_only():
    one = Tensor("x", "FP32", np.array([1.0, math.nan], "f4"))

    assert differ(one, Tensor("x", "FP32", np.array([1.000001, math.nan], "f4"))) == ""
    assert differ(one, Tensor("x", "FP32", np.array([1.001, math.nan], "f4"))) != ""
    assert differ(one, Tensor("x", "FP32", np.array([[1.0, math.nan]], "f4"))) != ""
    assert differ(one, Tensor("x", "FP64", np.array([1.0, math.nan]))) != ""


def answer(told: object, status: int = 200, **headers: str) -> Answer:
    return Answer(status, headers, told if isinstance(told, bytes) else json.dumps(told).encode())


OUTPUT = {"name": "y", "datatype": "FP32", "shape": [2], "data": [1.0, 2.0]}
WHOLE = {"model_name": "m", "outputs": [OUTPUT]}


@pytest.mark.parametrize(
    "came",
    [
        Answer(fault="no connection"), answer(WHOLE, 201), answer(b""), answer(b"<html>"), answer([]),
        answer(b"[" * 10**5),
        answer({"outputs": []}), answer({"model_name": 1, "outputs": []}), answer({**WHOLE, "outputs": [7]}),
        *(answer({**WHOLE, "outputs": [{**OUTPUT, **wrong}]}) for wrong in (
            {"name": 1}, {"datatype": "FLOAT"}, {"shape": [-1]}, {"shape": ["2"]}, {"shape": [True]},
            {"shape": [3]},
            {"data": None}, {"data": {}}, {"parameters": {"binary_data_size": "8"}}, {"parameters": [1]},
            {"parameters": {"binary_data_size": -8}}, {"parameters": {"binary_data_size": 8}},
            {"shape": [2**70]},
        )),
        answer({**WHOLE, "outputs": [OUTPUT, OUTPUT]}),
        *(answer(WHOLE, **{HEADER: wrong}) for wrong in ("x", "-1", "999999", "9" * 30, "7")),
    ],
)  # fmt: skip
def test_an_answer_that_is_not_whole_is_told(came):
    with pytest.raises(Unmet) as told:
        inferred(came)
    assert told.value.expected


def test_raw_outputs_are_taken_in_their_order():
    one = {"name": "a", "datatype": "INT8", "shape": [2], "parameters": {"binary_data_size": 2}}
    two = {"name": "b", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 6}}
    head = json.dumps({"model_name": "m", "outputs": [one, OUTPUT, two]}).encode()

    got = inferred(Answer(200, {HEADER: str(len(head))}, head + b"\x01\x02" + b"\x02\x00\x00\x00hi"))

    assert [one.listed() for one in got.outputs] == [[1, 2], [1.0, 2.0], ["hi"]]
    assert got.raw == {"a", "b"}


@pytest.mark.parametrize(
    "came",
    [
        Answer(fault="gone"), answer({"error": "no"}), answer({"error": "no"}, 302),
        answer({"error": ""}, 400),
        answer({"detail": "no"}, 400), answer({"error": {"message": "no"}}, 400), answer(["error"], 400),
        answer(b"no", 500),
    ],
)  # fmt: skip
def test_an_error_is_a_status_and_an_object_with_a_text(came):
    with pytest.raises(Unmet):
        refused(came)


def test_errors_as_the_protocol_has_them_pass():
    assert refused(answer({"error": "no"}, 422)).status == 422
    assert refused(answer({"error": "no"}, 500)).status == 500
    with pytest.raises(Unmet, match="400 to 499"):
        blamed(answer({"error": "no"}, 500))


def test_a_media_type_is_judged_without_its_parameters():
    typed(Answer(200, {"content-type": "Application/JSON; charset=utf-8"}), "application/json")
    with pytest.raises(Unmet):
        typed(Answer(200, {}), "application/json")


@pytest.mark.parametrize(
    ("shape", "promised", "fine"),
    [
        ((2, 3), (-1, 3), True),
        ((2, 3), (2, 3), True),
        ((2, 3), (-1, 4), False),
        ((2,), (-1, 3), False),
        ((), (), True),
    ],
)
def test_a_shape_fits_what_is_promised(shape, promised, fine):
    assert fits(shape, promised) is fine


def test_outputs_are_those_of_the_metadata():
    tensor = made(Spec("y", "FP32", (2,)))

    fitting([tensor], [Spec("y", "FP32", (-1,))])
    for wrong in (Spec("z", "FP32", (-1,)), Spec("y", "FP64", (-1,)), Spec("y", "FP32", (3,))):
        with pytest.raises(Unmet):
            fitting([tensor], [wrong])
    with pytest.raises(Unmet):
        alike([tensor], [], "twice")


@settings(max_examples=50)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["name", "datatype", "shape", "outputs", "model_name", "data"]), inner
            )
        ),
        max_leaves=12,
    ),
    st.sampled_from([{}, {HEADER: "4"}]),
)
def test_no_json_makes_a_judgement_fail_otherwise(told, headers):
    """Whatever a server sends is judged; it is no fault of the kit."""
    for judge in (inferred, refused, object_of):
        for code in (200, 400):
            try:
                judge(answer(told, code, **headers))
            except Unmet:
                pass
    try:
        spec_of(told)
    except Unmet:
        pass
