"""Our reader of serialized requests beside protobuf's: whatever that accepts of us means the same."""

import struct

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from prism_core.plugin import Faults, Limits, MalformedBody
from prism_oip.reading import message as reading
from prism_oip.reading.contents import FIELDS, TEXTS, gather
from prism_oip.rpc.oip_pb2 import InferParameter, InferTensorContents, ModelInferRequest
from prism_oip.wire import Budget
from prism_oip.writing.varints import varint

INPUT = ModelInferRequest.InferInputTensor
OUTPUT = ModelInferRequest.InferRequestedOutputTensor

int32, int64 = st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1)
uint32, uint64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
VALUES = {
    "bool_contents": st.booleans(),
    "int_contents": int32,
    "int64_contents": int64,
    "uint_contents": uint32,
    "uint64_contents": uint64,
    "fp32_contents": st.floats(width=32),
    "fp64_contents": st.floats(),
    "bytes_contents": (st.text(max_size=8) | st.just("long " * 60)).map(str.encode),
}
# A tag, and how a number stands behind it that has a field of its own.
ALONE = {
    "bool_contents": (0x08, lambda value: varint(int(value))),
    "int_contents": (0x10, lambda value: varint(value % 2**64)),
    "int64_contents": (0x18, lambda value: varint(value % 2**64)),
    "uint_contents": (0x20, varint),
    "uint64_contents": (0x28, varint),
    "fp32_contents": (0x35, lambda value: struct.pack("<f", value)),
    "fp64_contents": (0x39, lambda value: struct.pack("<d", value)),
}
UNKNOWN = st.sampled_from(
    [b"\x78\x01", b"\x79" + bytes(8), b"\x7a\x03abc", b"\x7d" + bytes(4), b"\xfa\xff\xff\xff\x0f\x01x"]
)
# A text, a number and packed ones, whose tags have a byte more than they need.
LONG_TAGS = st.sampled_from([b"\xc2\x00\x01a", b"\x98\x00\x05", b"\x9a\x00\x02\x07\x08"])
names = st.text(max_size=12)
parameter = st.one_of(
    st.builds(InferParameter),
    st.builds(InferParameter, bool_param=st.booleans()),
    st.builds(InferParameter, int64_param=int64),
    st.builds(InferParameter, string_param=names),
    st.builds(InferParameter, double_param=st.floats()),
    st.builds(InferParameter, uint64_param=uint64),
)


def sized(number, content):
    return bytes((number << 3 | 2,)) + varint(len(content)) + content


@st.composite
def contents(draw):
    """Values in one or several fields: packed by protobuf, each alone, and both mixed."""
    parts = []
    for _ in range(draw(st.integers(0, 4))):
        name = draw(st.sampled_from(list(VALUES)))
        values = draw(st.lists(VALUES[name], max_size=5))
        if name in ALONE and draw(st.booleans()):
            tag, write = ALONE[name]
            parts += [bytes((tag,)) + write(value) for value in values]
        else:
            parts.append(InferTensorContents(**{name: values}).SerializeToString())
        parts.append(draw(st.just(b"") | UNKNOWN | LONG_TAGS))
    return b"".join(parts)


@st.composite
def parameters(draw):
    """An entry of a map of parameters; the last choice of its value counts, in whatever piece it stands."""
    values = draw(st.lists(parameter, max_size=3))
    return b"".join([sized(1, draw(names).encode()), *(sized(2, one.SerializeToString()) for one in values)])


@st.composite
def inputs(draw):
    parts = []
    for _ in range(draw(st.integers(1, 3))):
        one = INPUT(name=draw(names), datatype=draw(names), shape=draw(st.lists(int64, max_size=3)))
        parts.append(one.SerializeToString())
        parts += [sized(4, entry) for entry in draw(st.lists(parameters(), max_size=2))]
        parts += [sized(5, one) for one in draw(st.lists(contents(), max_size=2))]
        parts += [b"\x18" + varint(size) for size in draw(st.lists(st.integers(0, 300), max_size=2))]
        parts.append(draw(st.just(b"") | UNKNOWN))
    return b"".join(parts)


@st.composite
def outputs(draw):
    entries = draw(st.lists(parameters(), max_size=2))
    return OUTPUT(name=draw(names)).SerializeToString() + b"".join(sized(2, entry) for entry in entries)


@st.composite
def requests(draw):
    """A request whose parts come in any order, and those twice that may."""
    one = st.one_of(
        names.map(lambda name: sized(1, name.encode())),
        names.map(lambda name: sized(2, name.encode())),
        names.map(lambda name: sized(3, name.encode())),
        parameters().map(lambda entry: sized(4, entry)),
        inputs().map(lambda tensor: sized(5, tensor)),
        outputs().map(lambda output: sized(6, output)),
        st.binary(max_size=200).map(lambda data: sized(7, data)),
        UNKNOWN,
    )
    return b"".join(draw(st.lists(one, max_size=8)))


def exact(value):
    """Return a value that is equal only to what has the same type and bits."""
    return type(value), struct.pack("<d", value) if isinstance(value, float) else value


def exactly(found):
    return {key: exact(value) for key, value in found.items()}


def as_we_say(body):
    budget = Budget()
    found = reading.read(memoryview(body), budget)
    return (
        found.id,
        exactly(found.parameters),
        [
            (one.name, one.datatype, one.shape, exactly(one.parameters), values_of(one, budget))
            for one in found.inputs
        ],
        [(one.name, exactly(one.parameters)) for one in found.outputs],
        [bytes(one) for one in found.raw],
    )


def values_of(tensor, budget):
    faults = Faults()
    found = gather(tensor.name, tensor.contents, faults, Limits(), budget)
    if faults.count:
        raise MalformedBody("A text is not UTF-8, which protobuf does not mind in bytes.")
    arrays = [found.array(number) for number in FIELDS]
    return [(one.dtype.newbyteorder("<"), one.tobytes()) for one in arrays], found.array(TEXTS).tolist()


def as_protobuf_says(body):
    found = ModelInferRequest.FromString(body)
    return (
        found.id,
        chosen(found.parameters),
        [
            (one.name, one.datatype, tuple(one.shape), chosen(one.parameters), lists_of(one.contents))
            for one in found.inputs
        ],
        [(one.name, chosen(one.parameters)) for one in found.outputs],
        list(found.raw_input_contents),
    )


def chosen(found):
    choices = {key: one.WhichOneof("parameter_choice") for key, one in found.items()}
    return {key: exact(getattr(found[key], choice) if choice else None) for key, choice in choices.items()}


def lists_of(found):
    numbers = [
        (one.dtype.newbyteorder("<"), np.array(getattr(found, one.name), one.dtype).tobytes())
        for one in FIELDS.values()
    ]
    return numbers, [text.decode() for text in found.bytes_contents]


@given(requests())
@settings(max_examples=100)
def test_a_request_means_what_protobuf_says(body):
    assert as_we_say(body) == as_protobuf_says(body)


@given(requests(), st.data())
@settings(max_examples=100)
def test_damaged_bytes_are_refused_or_mean_what_protobuf_says(body, data):
    damaged = bytearray(body)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(damaged)))
        damaged[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    try:
        found = as_we_say(bytes(damaged))
    except MalformedBody:
        return
    assert found == as_protobuf_says(bytes(damaged))
