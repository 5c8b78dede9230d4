"""Any array of any datatype, there and back, by a writer and a reader that know the protocol alone."""

import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from prism_core.plugin import (
    NUMPY_TYPES,
    Answer,
    Batch,
    InvalidInput,
    MalformedBody,
    Request,
    Signature,
    TensorSpec,
)
from prism_oip.media import PREFIX
from prism_oip.reading import quick
from prism_oip.reading import rest as reading
from prism_oip.reply import Reply
from prism_oip.writing import rest as writing

# Of Python's `struct`, little-endian: the protocol's datatypes, said by somebody else.
FORMATS = {
    "BOOL": "?",
    "UINT8": "B",
    "UINT16": "H",
    "UINT32": "I",
    "UINT64": "Q",
    "INT8": "b",
    "INT16": "h",
    "INT32": "i",
    "INT64": "q",
    "FP16": "e",
    "FP32": "f",
    "FP64": "d",
}


def raw_of(datatype, array):
    flat = array.ravel().tolist()
    if datatype == "BYTES":
        return b"".join(struct.pack("<I", len(one.encode())) + one.encode() for one in flat)
    return struct.pack(f"<{len(flat)}{FORMATS[datatype]}", *flat)


def array_of(datatype, shape, raw):
    if datatype == "BYTES":
        found, at = [], 0
        while at < len(raw):
            (size,) = struct.unpack_from("<I", raw, at)
            found.append(raw[at + 4 : at + 4 + size].decode())
            at += 4 + size
    else:
        found = struct.unpack(f"<{len(raw) // struct.calcsize(FORMATS[datatype])}{FORMATS[datatype]}", raw)
    return np.array(found, NUMPY_TYPES[datatype]).reshape(shape)


def request_of(datatype, array, as_raw):
    said = {"name": "x", "shape": array.shape, "datatype": datatype}
    raw = raw_of(datatype, array) if as_raw else b""
    said |= {"parameters": {"binary_data_size": len(raw)}} if as_raw else {"data": array.ravel().tolist()}
    head = json.dumps({"inputs": [said]}).encode()
    return head + raw, {"header": str(len(head))} if as_raw else {}


def outputs_of(body):
    header_bytes, _ = PREFIX.unpack_from(body)
    body = body[PREFIX.size :]
    at = header_bytes or len(body)
    for output in json.loads(body[:at])["outputs"]:
        if "data" in output:
            dtype = NUMPY_TYPES[output["datatype"]]
            yield output["name"], np.array(output["data"], dtype).reshape(output["shape"])
        else:
            size = output["parameters"]["binary_data_size"]
            yield output["name"], array_of(output["datatype"], output["shape"], body[at : at + size])
            at += size
    assert not header_bytes or at == len(body)


def same_bits(one, other):
    if one.dtype == object:
        return one.tolist() == other.tolist()
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


@st.composite
def tensors(draw, datatypes=tuple(NUMPY_TYPES), finite=False):
    datatype = draw(st.sampled_from(datatypes))
    dtype = NUMPY_TYPES[datatype]
    shape = draw(arrays.array_shapes(max_dims=4, max_side=3))
    if datatype == "BYTES":
        return datatype, draw(arrays.arrays(object, shape, elements=st.text(max_size=5)))
    bounds = {"allow_nan": False, "allow_infinity": False} if finite and dtype.kind == "f" else {}
    return datatype, draw(arrays.arrays(dtype, shape, elements=arrays.from_dtype(dtype, **bounds)))


def signature_of(datatype, array):
    spec = TensorSpec("x", datatype, (-1,) * array.ndim)
    return Signature((spec,), (spec,))


def check_there(datatype, array, as_raw):
    body, parameters = request_of(datatype, array, as_raw)
    batch = reading.normalize(memoryview(body), signature_of(datatype, array), Request(parameters, {}))
    assert same_bits(batch["x"], array)


@given(tensors())
def test_raw_tensors_arrive_bit_for_bit(tensor):
    check_there(*tensor, as_raw=True)


@given(tensors(finite=True))
def test_values_in_json_arrive_bit_for_bit(tensor):
    check_there(*tensor, as_raw=False)


@given(tensors(), tensors())
def test_raw_outputs_leave_bit_for_bit(one, other):
    outputs = {"x": one[1], "y": other[1]}
    answer = Answer("churn", 3, Batch(outputs), signature_of(*one), reply=Reply(raw=True))

    found = dict(outputs_of(writing.encode(answer)))

    assert all(same_bits(found[name], outputs[name]) for name in outputs)


@given(tensors(finite=True), tensors(finite=True), st.booleans())
def test_outputs_in_json_leave_bit_for_bit(one, other, second_raw):
    outputs = {"x": one[1], "y": other[1]}
    reply = Reply("1", raw_of={"y": second_raw})
    answer = Answer("churn", 3, Batch(outputs), signature_of(*one), reply=reply)

    found = dict(outputs_of(writing.encode(answer)))

    assert all(same_bits(found[name], outputs[name]) for name in outputs)


# --- the quick way and the other -------------------------------------------------------------

TWO = Signature(
    (TensorSpec("a", "INT64", (-1,)), TensorSpec("b", "FP32", (-1, 2), nullable=True)),
    (TensorSpec("y", "FP32", (-1,)),),
)
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 2**40), st.floats(allow_nan=False), st.text(max_size=2)
)
LISTS = st.one_of(
    st.lists(st.integers(-5, 5), max_size=4),
    st.lists(st.floats(-9, 9), max_size=4),
    st.lists(st.lists(st.floats(-9, 9) | st.none(), min_size=2, max_size=2), max_size=3),
    st.lists(VALUES, max_size=4),
)
INPUTS = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["a", "b", "c"]),
        "shape": st.lists(st.integers(-1, 3), max_size=3),
        "datatype": st.sampled_from(["INT64", "FP32", "FP64", "BYTES", "?"]),
        "data": LISTS,
    },
    optional={"parameters": st.sampled_from([{}, {"content_type": "np"}, {"binary_data_size": 8}])},
)


@st.composite
def plausible(draw):
    """Inputs that are right, or nearly."""
    rows = draw(st.integers(0, 3))
    whole = draw(st.lists(st.integers(-5, 5), min_size=rows, max_size=rows))
    pair = st.lists(st.floats(-9, 9, width=32), min_size=2, max_size=2)
    pairs = draw(st.lists(pair, min_size=rows, max_size=rows))
    a = {"name": "a", "shape": [rows], "datatype": "INT64", "data": whole}
    b = {"name": "b", "shape": [rows, 2], "datatype": "FP32", "data": pairs}
    if draw(st.booleans()):
        b["data"] = [one for pair in pairs for one in pair]
    if draw(st.booleans()):
        a["shape"] = draw(st.sampled_from([[rows, 1], [1, rows], [rows, 2], [rows + 1]]))
    return draw(st.permutations([a, b]))


@given(plausible() | st.lists(INPUTS, max_size=3))
def test_the_quick_way_agrees_with_the_other(inputs):
    """On whatever both understand; what the quick one refuses is the other's to judge."""
    head = memoryview(json.dumps({"inputs": inputs}).encode())
    found = quick.read(head, TWO)
    if found is None:
        return
    request = Request({}, {})
    whole = reading.batch_of(reading._told(head, TWO, request), memoryview(b""), TWO, request.limits)
    assert list(found[1]) == list(whole.tensors)
    assert all(same_bits(found[1][name], whole[name]) for name in found[1])


@given(st.lists(INPUTS, max_size=3))
def test_whatever_is_said_is_read_or_refused(inputs):
    body = memoryview(json.dumps({"inputs": inputs}).encode())
    try:
        batch = reading.normalize(body, TWO, Request({}, {}))
    except (MalformedBody, InvalidInput):
        return
    assert set(batch.tensors) == {"a", "b"}


@pytest.mark.parametrize("order", [1, -1])
def test_the_quick_way_takes_what_is_usual(order):
    inputs = [
        {"name": "a", "shape": [1], "datatype": "INT64", "data": [1]},
        {"name": "b", "shape": [1, 2], "datatype": "FP32", "data": [[1, None]]},
    ]

    assert quick.read(memoryview(json.dumps({"inputs": inputs[::order]}).encode()), TWO) is not None
