import struct

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from prism_core.fitting.tensors import ALIGNMENT, MAGIC, pack, unpack
from prism_core.plugin import Batch, InvalidInput, MalformedBody, NotAcceptable, Signature, TensorSpec
from prism_core.types import NUMPY_TYPES

OUTPUTS = (TensorSpec("predictions", "FP64", (-1,)),)
MODEL = Signature((TensorSpec("x", "FP32", (-1, 2)), TensorSpec("text", "BYTES", (-1,))), OUTPUTS)
TENSORS = "application/vnd.prism.tensors"

names = st.text(max_size=8)
shapes = arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
numbers = st.sampled_from([d for d in NUMPY_TYPES.values() if d.kind != "O"]).flatmap(
    lambda dtype: arrays.arrays(dtype, shapes)
)
strings = arrays.arrays(object, shapes, elements=st.text(max_size=4) | st.none(), fill=st.nothing())


def body(tensors, data=b"", **more):
    header = msgspec.msgpack.encode({"tensors": tensors, **more})
    head = MAGIC + struct.pack("<I", len(header)) + header
    return head + bytes(-len(head) % ALIGNMENT) + data


@given(
    st.dictionaries(names, numbers | strings, max_size=3),
    st.lists(names),
    st.dictionaries(names, st.integers()),
)
def test_whatever_is_packed_is_unpacked(tensors, outputs, parameters):
    parameters = {name: value % 1000 for name, value in parameters.items()}
    found = unpack(memoryview(pack(Batch(tensors, tuple(outputs), parameters))))

    assert (found.outputs, found.parameters) == (tuple(outputs), parameters)
    assert list(found.tensors) == list(tensors)
    for name, tensor in tensors.items():
        assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape)
        assert found[name].tolist() == tensor.tolist() or found[name].tobytes() == tensor.tobytes()


def test_numbers_are_views_of_the_body():
    packed = pack(Batch({"x": np.ones((2, 2), dtype=np.float32)}))

    assert np.shares_memory(unpack(memoryview(packed))["x"], np.frombuffer(packed, np.uint8))


def test_a_request(read):
    packed = pack(Batch({"text": np.array(["a"], object), "x": np.ones((1, 2))}, ("predictions",), {"t": 1}))
    batch = read(packed, MODEL, TENSORS)

    assert (batch["x"].tolist(), batch["text"].tolist()) == ([[1, 1]], ["a"])
    assert (batch.outputs, batch.parameters) == (("predictions",), {"t": 1})


def test_an_answer_holds_every_output_under_its_own_name(write):
    found = unpack(memoryview(write({"label": np.array(["a"]), "map": [{1: 0.5}]}, TENSORS)))

    assert found["label"].tolist() == ["a"]
    assert found["map"] == [{"1": 0.5}]


def test_unknown_keys_of_the_header_are_ignored():
    assert unpack(memoryview(body([["x", "INT8", [1], 1]], b"\x07", later="more")))["x"].tolist() == [7]


def test_an_output_of_odd_objects_is_not_acceptable(write):
    with pytest.raises(NotAcceptable):
        write({"y": [object()]}, TENSORS)


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"PRT1",
        b"PRT2\x00\x00\x00\x00",
        MAGIC + b"\xff\xff\xff\xff",
        MAGIC + b"\x01\x00\x00\x00\xc1",
        body([["x", "INT8", [1], 1]]),
        body([["x", "INT8", [1], 1]], b"ab"),
        body([["x", "INT8", [1], 2**62]], b"a"),
        body([["x", "INT8", [-1], 1]], b"a"),
        body([["x", "INT8", [2**40, 2**40], 1]], b"a"),
        body([["x", "INT8", [0, 2**62, 2**62], 0]]),
        body([["x", "INT8", [1] * 100, 1]], b"a"),
        body([["x", "FP32", [1], 1]], b"a"),
        body([["x", "OBJECT", [1], 1]], b"a"),
        body([["x", "BOOL", [1], 1]], b"\x02"),
        body([["x", "INT8", [0], 0], ["x", "INT8", [0], 0]]),
        body([["x", "BYTES", [2**50], 4]], b"\x00" * 4),
        body([["x", "BYTES", [1], 5]], b"\x02\x00\x00\x00a"),
        body([["x", "BYTES", [1], 5]], b"\x00\x00\x00\x00a"),
        body([["x", "BYTES", [2], 9]], b"\x04\x00\x00\x00abcd\x00"),
        body([["x", "BYTES", [1], 5]], b"\x01\x00\x00\x00\xff"),
        body([["x", "JSON", [1], 1]], b"["),
        body([["x", "JSON", [1], 1]], b"1"),
        body([["x", "INT8", [1]]], b"a"),
        body("x"),
    ],
)
def test_hostile_bodies_are_malformed(bad):
    with pytest.raises(MalformedBody):
        unpack(memoryview(bad))


def test_a_list_is_no_input(read):
    with pytest.raises(InvalidInput, match="JSON"):
        read(body([["x", "JSON", [1], 3]], b"[1]"), MODEL, TENSORS)


def test_names_are_checked(faults):
    packed = pack(Batch({"y": np.ones((1, 2)), "text": np.array(["a"])}))

    assert faults(packed, MODEL, TENSORS) == [(0, "y"), (0, "x")]
