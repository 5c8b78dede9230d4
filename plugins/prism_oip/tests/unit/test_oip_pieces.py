"""Large requests and answers in steps: the same as at once."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from prism_core.plugin import NUMPY_TYPES, Answer, Batch, PrismError, Request, Signature, TensorSpec
from prism_core.testing import assert_same
from prism_core.testing.normalizers import in_steps
from prism_oip.reading import document, pieces
from prism_oip.reading import rest as reading
from prism_oip.reply import Reply
from prism_oip.writing import rest as writing

OUTPUTS = (TensorSpec("y", "FP32", (-1,)),)
MATRIX = Signature((TensorSpec("x", "FP64", (-1, 3)),), OUTPUTS)
TEXT = Signature((TensorSpec("x", "BYTES", (-1,), nullable=True),), OUTPUTS)
TWO = Signature((TensorSpec("a", "INT64", (-1,)), TensorSpec("b", "BYTES", (-1,))), OUTPUTS, columnar=True)
PLAIN = Request({}, {})


def tensor(data, shape, datatype="FP64", name="x"):
    return {"name": name, "shape": shape, "datatype": datatype, "data": data}


def body_of(*tensors, **others):
    return json.dumps({"inputs": tensors, **others}).encode()


def steps(body, signature, piece_bytes=8):
    return in_steps(reading.normalize_steps(memoryview(body), signature, PLAIN, piece_bytes))


def numbers(rows):
    return [[row, row / 2, -row] for row in range(rows)]


def flat(rows):
    return [one for row in numbers(rows) for one in row]


@pytest.mark.parametrize(
    ("body", "signature"),
    [
        (body_of(tensor(numbers(20), [20, 3])), MATRIX),
        (body_of(tensor(flat(20), [20, 3]), id="42", outputs=[{"name": "y"}]), MATRIX),
        (body_of(tensor(numbers(2), [2, 3]), parameters={"a": [1]}).replace(b" ", b"\n "), MATRIX),
        (body_of(tensor(["a", "b]", "", 'c"d', "é\\"], [5], "BYTES")), TEXT),
        (body_of(tensor([3, -4], [2], "INT64", "a"), tensor(["x", "y"], [2], "BYTES", "b")), TWO),
        (body_of(tensor(["x", "y"], [2, 1], "BYTES", "b"), tensor([3, -4], [2], "INT64", "a")), TWO),
        (body_of(tensor(flat(9), [9, 3], "FP32")), MATRIX),
    ],
)
def test_a_usual_body_is_read_in_pieces(body, signature):
    found, whole = steps(body, signature), reading.normalize(memoryview(body), signature, PLAIN)

    assert_same(found.tensors, whole.tensors)
    assert (found.outputs, found.parameters, found.reply) == (whole.outputs, whole.parameters, whole.reply)


def test_it_is_more_than_one_step():
    body = body_of(tensor(flat(200), [200, 3]))

    assert sum(1 for _ in reading.normalize_steps(memoryview(body), MATRIX, PLAIN, 100)) > 20


@pytest.mark.parametrize(
    ("body", "signature"),
    [
        (body_of(tensor(["a", 3], [2], "BYTES")), TEXT),
        (body_of(tensor(["a", ",", "b"], [3], "BYTES")), TEXT),
        (body_of(tensor([None, "a"], [2], "BYTES")), TEXT),
        (body_of(tensor([["a"], ["b"]], [2, 1], "BYTES")), TEXT),
        (body_of(tensor(["] "], [1], "BYTES")), TEXT),
        (body_of(tensor(numbers(2), [3, 3])), MATRIX),
        (body_of(tensor(numbers(2)[0], [2, 3])), MATRIX),
        (body_of(tensor([[1, 2, 3], [4, 5]], [2, 3])), MATRIX),
        (body_of(tensor([], [0, 3])), MATRIX),
        (body_of(tensor([1, 2, 3], [1, 3]), tensor([1, 2, 3], [1, 3])), MATRIX),
        (body_of(tensor([1, 2, 3], [1, 3]) | {"parameters": {"data": [1]}}), MATRIX),
        (body_of({"parameters": {"data": [1]}} | tensor([1, 2, 3], [1, 3])), MATRIX),
        (body_of(tensor([1, 2, 3], [1, 3]) | {"parameters": {"binary_data_size": 24}}), MATRIX),
        (body_of(tensor([1, 2, 3], [1, 3], "FLOAT")), MATRIX),
        (body_of(tensor([1, 2, 3], [1, 3]))[:-9] + b"]", MATRIX),
        (b'{"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP64", "data": 5}]}', MATRIX),
        (b"{", MATRIX),
        (b"", MATRIX),
    ],
)
def test_what_is_rare_or_wrong_is_left_to_the_other(body, signature):
    """Or read as that reads it."""
    try:
        found = steps(body, signature)
    except PrismError as error:
        with pytest.raises(type(error)):
            reading.normalize(memoryview(body), signature, PLAIN)
    else:
        if found is not None:
            assert_same(found.tensors, reading.normalize(memoryview(body), signature, PLAIN).tensors)


@given(st.lists(st.text(), min_size=1), st.integers(1, 40))
def test_texts_are_cut_between_them_or_not_at_all(texts, piece_bytes):
    body = body_of(tensor(texts, [len(texts)], "BYTES"))

    found = steps(body, TEXT, piece_bytes)

    assert found is None or found["x"].tolist() == texts


@given(
    st.sampled_from([name for name, dtype in NUMPY_TYPES.items() if dtype.kind in "biuf"]),
    arrays.array_shapes(min_dims=1, max_dims=3, max_side=4),
    st.booleans(),
    st.integers(1, 40),
    st.data(),
)
def test_numbers_are_cut_between_them(datatype, shape, flat, piece_bytes, data):
    finite = {} if NUMPY_TYPES[datatype].kind != "f" else {"allow_nan": False, "allow_infinity": False}
    dtype = NUMPY_TYPES[datatype]
    array = data.draw(arrays.arrays(dtype, shape, elements=arrays.from_dtype(dtype, **finite)))
    signature = Signature((TensorSpec("x", datatype, (-1,) * len(shape)),), OUTPUTS)
    body = body_of(tensor((array.ravel() if flat else array).tolist(), shape, datatype))

    found = steps(body, signature, piece_bytes)

    if found is not None:
        assert_same(found.tensors, {"x": array})
    assert_same(reading.normalize(memoryview(body), signature, PLAIN).tensors, {"x": array})


def test_only_tensors_that_stay_as_they_are_are_read_at_once():
    """Others take long: they are left to the other, which runs beside the requests of others."""
    raw = np.arange(6, dtype=np.float64)

    def found(datatype, array):
        said = {"name": "x", "shape": [2, 3], "datatype": datatype}
        head = body_of(said | {"parameters": {"binary_data_size": array.nbytes}})
        request = Request({"header": str(len(head))}, {})
        return in_steps(reading.normalize_steps(memoryview(head + array.tobytes()), MATRIX, request))

    assert found("FP64", raw)["x"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found("FP32", raw.astype(np.float32)) is None


def test_values_are_not_looked_at_when_they_are_cut_out():
    """A cut of everything leaves what `document` reads, with a number for each."""
    body = memoryview(body_of(tensor([1, 2, 3], [1, 3]), tensor(["a"], [1], "BYTES", "z")))
    spans = list(pieces._spans(body))

    assert [bytes(body[one.start : one.end]) for one in spans] == [b"1, 2, 3", b'"a"']
    assert [one.name for one in pieces._without(body, spans, PLAIN).inputs] == ["x", "z"]
    assert document.read(body, PLAIN.limits).inputs[1].datatype == "BYTES"


# --- answers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("reply", [None, Reply("1"), Reply(raw=True), Reply(raw_of={"b": True})])
@pytest.mark.parametrize("datatype", [name for name in NUMPY_TYPES if name != "BYTES"])
def test_an_answer_is_the_same_in_steps(datatype, reply):
    values = np.arange(100).astype(NUMPY_TYPES[datatype])
    outputs = Batch({"a": values, "b": values.reshape(20, 5), "c": values[:0]})
    answer = Answer("churn", 3, outputs, MATRIX, reply=reply)

    found = in_steps(writing.encode_steps(answer, step_values=7))

    assert bytes(found) == writing.encode(answer)


def test_what_is_hidden_is_told_in_steps_too():
    answer = Answer("churn", 3, Batch({"a": np.array([1.0, 2, 3, np.nan])}), MATRIX)

    assert b"warnings" in in_steps(writing.encode_steps(answer, step_values=2))


def test_texts_and_what_is_packed_is_left_to_the_other():
    texts = Answer("churn", 3, Batch({"a": np.array(["x"], object)}), MATRIX)
    packed = Answer("churn", 3, Batch({"a": np.zeros(3)}), MATRIX, reply=Reply(packing="gzip"))

    assert in_steps(writing.encode_steps(texts)) is None
    assert in_steps(writing.encode_steps(packed)) is None
