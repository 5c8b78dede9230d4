"""Serialized requests as the runtime reads them, and its answers, beside what protobuf and numpy say."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import prism_oip
from prism_core.plugin import (
    NUMPY_TYPES,
    Answer,
    Batch,
    InvalidInput,
    Limits,
    MalformedBody,
    PayloadTooLarge,
    Request,
    RequestError,
    Signature,
    TensorSpec,
    datatype_of,
)
from prism_core.testing import NormalizerContract
from prism_oip.media import GRPC
from prism_oip.reading.contents import FIELDS
from prism_oip.reading.typed import FIELD_OF
from prism_oip.reply import Reply
from prism_oip.rpc.oip_pb2 import ModelInferRequest, ModelInferResponse
from prism_oip.wire import MAX_FIELDS
from prism_oip.writing.varints import varint

NORMALIZER = next(one for one in prism_oip.prism_normalizers() if one.media_type == GRPC)
OUTPUTS = (TensorSpec("y", "FP32", (-1,)), TensorSpec("z", "FP32", (-1,)))
MATRIX = Signature((TensorSpec("x", "FP32", (-1, 2)),), OUTPUTS)
TWO = Signature((TensorSpec("a", "INT64", (-1,)), TensorSpec("b", "BYTES", (-1,))), OUTPUTS, columnar=True)

# Values of each datatype: its ends, and what a detour by another type would change.
EXACT = {
    "BOOL": [True, False, True],
    "UINT8": [0, 255, 3],
    "UINT16": [0, 2**16 - 1, 300],
    "UINT32": [0, 2**32 - 1, 70_000],
    "UINT64": [2**64 - 1, 2**53 + 1, 0],
    "INT8": [-128, 127, 0],
    "INT16": [-(2**15), 2**15 - 1, -300],
    "INT32": [-(2**31), 2**31 - 1, 200],
    "INT64": [2**63 - 1, -(2**63), 2**53 + 1],
    "FP16": [65504.0, 2**-24, float("nan")],
    "FP32": [3.4028234663852886e38, 1e-45, float("-inf")],
    "FP64": [1.7976931348623157e308, 5e-324, float("nan")],
    "BYTES": ["", "é\x00", "\U0001f600"],
}
LIMITS = Limits()


def of(datatype):
    """Return the signature of a model whose input `x` and output `y` are vectors of a datatype."""
    return Signature((TensorSpec("x", datatype, (-1,)),), (TensorSpec("y", datatype, (-1,)),))


def raw(array):
    if array.dtype.kind != "O":
        return array.tobytes()
    return b"".join(len(one.encode()).to_bytes(4, "little") + one.encode() for one in array.flat)


def add(message, name, datatype, array, *, typed=False):
    """Add an input to a request."""
    tensor = message.inputs.add(name=name, datatype=datatype, shape=array.shape)
    if not typed:
        message.raw_input_contents.append(raw(array))
    elif datatype == "BYTES":
        tensor.contents.bytes_contents.extend([one.encode() for one in array.flat])
    else:
        getattr(tensor.contents, FIELDS[FIELD_OF[datatype]].name).extend(array.reshape(-1).tolist())
    return tensor


def asking(array=((1, 2.5), (3, -4)), datatype="FP32", *, typed=False, **fields):
    message = ModelInferRequest(model_name="churn", **fields)
    add(message, "x", datatype, np.array(array, NUMPY_TYPES[datatype]), typed=typed)
    return message


def read(message, signature=MATRIX, limits=LIMITS):
    body = message if isinstance(message, bytes) else message.SerializeToString()
    return NORMALIZER.normalize(memoryview(body), signature, Request({}, {}, limits))


def write(outputs, reply=None):
    specs = tuple(TensorSpec(name, "FP64", (-1,)) for name in outputs)
    answer = Answer("churn", 3, Batch(outputs), Signature((), specs), reply=reply)
    return ModelInferResponse.FromString(NORMALIZER.encode(answer))


class TestContract(NormalizerContract):
    """Whatever holds for media types holds for this one."""

    normalizer = NORMALIZER
    signature = MATRIX
    bodies = {
        asking(typed=typed).SerializeToString(): {"x": np.array([[1, 2.5], [3, -4]])}
        for typed in (True, False)
    }
    malformed = [
        b"\x0a",
        b"\x08\x01",
        asking().SerializeToString()[:-1],
        asking(datatype="INT8", array=[[1, 2]]).SerializeToString() + b"\x3a\x00",
    ]
    misfits = [b"", asking([1, 2, 3]).SerializeToString(), asking([["a", "b"]], "BYTES").SerializeToString()]
    answers = [
        (
            {"y": np.array([1, 2], np.float32)},
            ModelInferResponse(
                model_name="churn",
                model_version="3",
                outputs=[ModelInferResponse.InferOutputTensor(name="y", datatype="FP32", shape=[2])],
                raw_output_contents=[np.array([1, 2], np.float32).tobytes()],
            ).SerializeToString(),
        )
    ]


@pytest.mark.parametrize(
    ("datatype", "typed"), [*((name, False) for name in EXACT), *((name, True) for name in FIELD_OF)]
)
def test_values_of_each_datatype_come_and_go_bit_by_bit(datatype, typed):
    array = np.array(EXACT[datatype], NUMPY_TYPES[datatype])

    found = read(asking(array, datatype, typed=typed), of(datatype))["x"]
    answer = write({"y": found}, Reply(raw=not typed))
    request = asking(array, datatype, typed=typed)

    assert found.dtype == array.dtype
    assert raw(found) == raw(array)
    assert (answer.outputs[0].datatype, list(answer.outputs[0].shape)) == (datatype, [3])
    assert answer.outputs[0].contents == request.inputs[0].contents
    assert list(answer.raw_output_contents) == list(request.raw_input_contents)


def test_bf16_is_the_fp32_of_equal_value():
    message = ModelInferRequest(raw_input_contents=[b"\x80\x3f\x20\xc0"])
    message.inputs.add(name="x", datatype="BF16", shape=[1, 2])

    assert read(message)["x"].tolist() == [[1, -2.5]]


@pytest.mark.parametrize("typed", [False, True])
def test_inputs_come_in_any_order(typed):
    message = ModelInferRequest()
    add(message, "b", "BYTES", np.array([["x"]], object), typed=typed)
    add(message, "a", "INT64", np.array([3]), typed=typed)

    assert {name: one.tolist() for name, one in read(message, TWO).tensors.items()} == {"a": [3], "b": ["x"]}


@pytest.mark.parametrize("typed", [False, True])
def test_large_tensors_stay_where_they_are(typed):
    """Where that is a multiple of their size: a byte more or less in the head decides."""
    image = Signature((TensorSpec("x", "FP32", (-1, 3, 224, 224)),), OUTPUTS)
    views = 0
    for more in range(1, 5):
        message = asking(np.ones((1, 3, 224, 224)), typed=typed, id="x" * more)
        body = memoryview(message.SerializeToString())
        found = NORMALIZER.normalize(body, image, Request({}, {}))["x"]
        assert found.flags.aligned
        views += np.shares_memory(found, np.frombuffer(body, np.uint8))

    assert views == 1


def test_of_the_parameters_the_model_gets_its_own():
    message = asking()
    message.parameters["threshold"].double_param = 0.3
    message.parameters["top"].uint64_param = 2**64 - 1
    message.parameters["bottom"].int64_param = -1
    message.parameters["strict"].bool_param = False
    message.parameters["of"].string_param = "é"
    message.parameters["nothing"].SetInParent()
    message.parameters["priority"].int64_param = 1
    message.parameters["triton_enable_empty_final_response"].bool_param = True
    message.inputs[0].parameters["content_type"].string_param = "np"
    message.inputs[0].parameters["binary_data_size"].int64_param = 16

    own = {"threshold": 0.3, "top": 2**64 - 1, "bottom": -1, "strict": False, "of": "é", "nothing": None}
    assert read(message).parameters == own


@pytest.mark.parametrize(
    ("typed", "said", "answered"), [(0, None, 1), (1, None, 0), (0, False, 0), (1, True, 1)]
)
def test_what_is_asked_for(typed, said, answered):
    """Raw for raw and typed for typed, unless the request says it."""
    message = asking(typed=typed, id="42", outputs=[{"name": "z"}, {"name": "y"}])
    if said is not None:
        message.parameters["binary_data_output"].bool_param = said

    batch = read(message)

    assert (batch.outputs, batch.parameters, batch.reply) == (("z", "y"), {}, Reply("42", bool(answered)))
    assert read(asking()).reply == Reply(None, True)


def test_whom_a_request_is_for_does_not_matter_here():
    """The gateway has asked; the answer names the version that computed it."""
    assert read(asking(model_version="champion"))["x"].shape == (2, 2)


def test_contents_without_a_value_are_none():
    """MLServer's converter sends them beside raw contents."""
    message = asking()
    message.inputs[0].contents.SetInParent()

    assert message.inputs[0].HasField("contents")
    assert read(message)["x"].shape == (2, 2)


# --- what is refused -------------------------------------------------------------------------


def without_raw(message):
    message.raw_input_contents.clear()
    return message


def with_parameter(owner, message, name, **value):
    for choice, one in value.items():
        setattr(getattr(message, owner)[0].parameters[name], choice, one)
    return message


BAD = {
    "another number of raw contents": lambda: asking(raw_input_contents=[b"", b""]),
    "raw and typed contents": lambda: ModelInferRequest(
        inputs=asking(typed=True).inputs, raw_input_contents=asking().raw_input_contents
    ),
    "an input that occurs twice": lambda: ModelInferRequest(inputs=[*asking(typed=True).inputs] * 2),
    "no values at all": lambda: without_raw(asking()),
    "values of another field": lambda: typed_as(FIELDS[2].name, [1, 2, 3, 4]),
    "values of two fields": lambda: typed_as(FIELDS[7].name, [1.0], asking(typed=True)),
    "fewer values than the shape takes": lambda: typed_as(FIELDS[6].name, [1.0, 2.0, 3.0]),
    "more values than the shape takes": lambda: typed_as(FIELDS[6].name, [1.0] * 5),
    "typed contents of a type that has none": lambda: typed_as(FIELDS[6].name, [1.0] * 4, datatype="FP16"),
    "an unknown datatype": lambda: typed_as(FIELDS[6].name, [1.0] * 4, datatype="FLOAT"),
    "raw bytes that are too few": lambda: shaped([3, 2]),
    "a negative shape": lambda: shaped([-1, 2]),
    "a shape that overflows": lambda: shaped([2**62, 2**62]),
    "an empty shape that overflows": lambda: shaped([0, 2**62, 2**62]),
    "a shape of many axes": lambda: shaped([1] * 33),
    "a shape of very many axes": lambda: shaped([1] * 100_000),
    "an output that is asked for twice": lambda: asking(outputs=[{"name": "y"}, {"name": "y"}]),
    "shared memory": lambda: with_parameter("inputs", asking(), "shared_memory_region", string_param="r"),
    "classes": lambda: with_parameter(
        "outputs", asking(outputs=[{"name": "y"}]), "classification", int64_param=3
    ),
    "a flag that is none": lambda: with_parameter(
        "outputs", asking(outputs=[{"name": "y"}]), "binary_data", int64_param=3
    ),
}


def typed_as(field, values, message=None, *, datatype="FP32"):
    message = message or ModelInferRequest(inputs=[{"name": "x", "shape": [2, 2], "datatype": datatype}])
    getattr(message.inputs[0].contents, field).extend(values)
    return message


def shaped(shape):
    return ModelInferRequest(
        inputs=[{"name": "x", "datatype": "FP32", "shape": shape}], raw_input_contents=[bytes(16)]
    )


@pytest.mark.parametrize("name", BAD)
def test_tensors_and_values_that_do_not_belong_together_are_refused(name):
    with pytest.raises(MalformedBody) as caught:
        read(BAD[name]())

    assert len(caught.value.message) < 300


def test_all_that_is_wrong_is_told_at_once():
    message = ModelInferRequest()
    for name in ("x", "y", "z"):
        message.inputs.add(name=name, datatype="FP32", shape=[2])
        message.raw_input_contents.append(b"1234567")

    with pytest.raises(MalformedBody, match="3 faults in all") as caught:
        read(message)

    assert [error[:9] for error in caught.value.details["errors"]] == ["Input 'x'", "Input 'y'", "Input 'z'"]


@pytest.mark.parametrize(
    ("datatype", "values", "wrong"),
    [("INT8", [1, 128, -129], [1, 2]), ("INT16", [2**15, 0, 0], [0]), ("UINT8", [0, 0, 256], [2])],
)
def test_values_that_a_datatype_does_not_have_are_not_cut_off(datatype, values, wrong):
    message = ModelInferRequest(inputs=[{"name": "x", "datatype": datatype, "shape": [3]}])
    getattr(message.inputs[0].contents, FIELDS[FIELD_OF[datatype]].name).extend(values)

    with pytest.raises(InvalidInput) as caught:
        read(message, of(datatype))

    assert [error["row"] for error in caught.value.details["errors"]] == wrong
    assert caught.value.details["errors"][0]["got"] == str(values[wrong[0]])


@pytest.mark.parametrize("typed", [False, True])
def test_bytes_that_are_no_text_are_refused_each(typed):
    message = ModelInferRequest(inputs=[{"name": "x", "datatype": "BYTES", "shape": [3]}])
    values = [b"a", b"\xff", b"\xed\xa0\x80"]
    if typed:
        message.inputs[0].contents.bytes_contents.extend(values)
    else:
        message.raw_input_contents.append(b"".join(len(one).to_bytes(4, "little") + one for one in values))

    with pytest.raises(InvalidInput) as caught:
        read(message, of("BYTES"))

    assert [error["row"] for error in caught.value.details["errors"]] == [1, 2]


@pytest.mark.parametrize("datatype", ["BYTES", "INT64", "BOOL"])
def test_values_that_are_made_one_by_one_are_counted(datatype):
    array = np.array(["a"] * 11 if datatype == "BYTES" else [1] * 11, NUMPY_TYPES[datatype])

    with pytest.raises(PayloadTooLarge):
        read(asking(array, datatype, typed=True), of(datatype), Limits(max_values=10))


# --- what is meant to do harm ----------------------------------------------------------------


def sized(number, content):
    return bytes((number << 3 | 2,)) + varint(len(content)) + content


def holding(contents):
    """Return a request whose input has contents of such bytes."""
    head = ModelInferRequest.InferInputTensor(name="x", datatype="INT64", shape=[4, 2]).SerializeToString()
    return sized(5, head + sized(5, contents))


HARM = {
    "fields that nobody knows": b"\x7a\x00" * 150_000,
    "inputs": b"\x2a\x00" * 150_000,
    "inputs of fields that nobody knows": sized(5, b"\x7a\x00" * 60) * 2000,
    "large inputs of such": sized(5, b"\x7a\x00" * 100) * 2000,
    "parameters": b"\x22\x00" * 150_000,
    "different parameters": b"".join(sized(4, sized(1, b"%d" % key)) for key in range(60_000)),
    "outputs": b"\x32\x00" * 150_000,
    "raw tensors": b"\x3a\x00" * 150_000,
    "a shape": sized(5, sized(3, b"\x01" * 2_000_000)),
    "sizes of a shape": sized(5, b"\x18\x01" * 150_000),
    "numbers in fields of their own": holding(b"\x18\x01" * 150_000),
    "numbers in fields by turns": holding(b"\x18\x01\x10\x01" * 75_000),
    "packed numbers": holding(sized(3, b"\x01" * 2_000_000)),
    "packed numbers, none each": holding(b"\x1a\x00" * 150_000),
    "packed numbers, one each": holding(b"\x1a\x01\x01" * 300_000),
    "a number without an end": holding(sized(3, b"\x80" * 2_000_000)),
    "a number without an end in a field": holding(b"\x18" + b"\x80" * 2_000_000),
    "texts of nothing": holding(b"\x42\x00" * 150_000),
    "contents of nothing": sized(5, b"\x2a\x00" * 150_000),
    "values of a parameter": sized(4, b"\x12\x00" * 150_000),
    "choices of a value": sized(4, sized(2, b"\x08\x01" * 150_000)),
}


@pytest.mark.parametrize("name", HARM)
def test_what_is_meant_to_do_harm_is_refused_in_little_memory(name):
    """Beside its values a field costs an object; of one byte each, integers become eight times as much."""
    body = memoryview(HARM[name])
    tracemalloc.start()
    try:
        with pytest.raises(RequestError):
            NORMALIZER.normalize(body, MATRIX, Request({}, {}))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 12 * len(body) + 250 * MAX_FIELDS


def test_a_request_has_thousands_of_inputs():
    names = [f"column_{at}" for at in range(3000)]
    wide = Signature(tuple(TensorSpec(name, "FP32", (-1,)) for name in names), OUTPUTS, columnar=True)
    for typed in (False, True):
        message = ModelInferRequest()
        for name in names:
            add(message, name, "FP32", np.ones(1, np.float32), typed=typed)

        assert len(read(message, wide).tensors) == 3000
    assert MAX_FIELDS >= 3000 * 8


# --- answers ---------------------------------------------------------------------------------


def test_an_answer_tells_who_gave_it_and_the_id():
    answer = write({"y": np.ones((2, 3), np.float32), "n": np.arange(2)}, Reply("é", True))

    assert (answer.model_name, answer.model_version, answer.id) == ("churn", "3", "é")
    assert [(one.name, one.datatype, list(one.shape)) for one in answer.outputs] == [
        ("y", "FP32", [2, 3]),
        ("n", "INT64", [2]),
    ]
    assert [len(one) for one in answer.raw_output_contents] == [24, 16]
    assert write({"y": np.ones(1)}).id == ""


@st.composite
def tensors(draw):
    datatype = draw(st.sampled_from(list(NUMPY_TYPES)))
    shape = draw(st.lists(st.integers(0, 3), max_size=3).map(tuple))
    size = int(np.prod(shape, dtype=int))
    if datatype == "BYTES":
        texts = draw(st.lists(st.text(max_size=200), min_size=size, max_size=size))
        return np.array([*texts, None], object)[:-1].reshape(shape)
    dtype = NUMPY_TYPES[datatype]
    data = draw(st.binary(min_size=size * dtype.itemsize, max_size=size * dtype.itemsize))
    flat = np.frombuffer(data, np.uint8) > 99 if dtype.kind == "b" else np.frombuffer(data, dtype)
    return flat.reshape(shape)


@given(st.dictionaries(st.text(max_size=200), tensors(), max_size=3), st.text(max_size=200), st.booleans())
def test_protobuf_finds_in_an_answer_what_was_written(outputs, id, typed):
    answer = write(outputs, Reply(id, not typed))

    typed &= all(datatype_of(array.dtype) != "FP16" for array in outputs.values())
    assert answer.id == id
    assert [(one.name, one.datatype, tuple(one.shape)) for one in answer.outputs] == [
        (name, datatype_of(array.dtype), array.shape) for name, array in outputs.items()
    ]
    if typed:
        found = [one.contents.SerializeToString() for one in answer.outputs]
        assert found == [contents_of(array) for array in outputs.values()]
    assert list(answer.raw_output_contents) == ([] if typed else [raw(array) for array in outputs.values()])


def contents_of(array):
    """Return typed contents as protobuf writes them; of floats bit by bit, which Python's do not keep."""
    datatype = datatype_of(array.dtype)
    if array.dtype.kind == "f":
        return sized(FIELD_OF[datatype], array.tobytes()) if array.size else b""
    return add(ModelInferRequest(), "x", datatype, array, typed=True).contents.SerializeToString()


def test_where_one_output_has_no_typed_form_all_are_raw():
    half = write({"h": np.ones(1, np.float16), "y": np.ones(1, np.float32)}, Reply(raw=False))

    assert [len(one) for one in half.raw_output_contents] == [2, 4]


@pytest.mark.parametrize("raw", [False, True])
def test_what_is_neither_number_nor_text_is_json(raw):
    """As over REST; a missing string is an empty one."""
    outputs = {"p": [{"a": 0.5}, {"b": 1.0}], "s": np.array(["a", None], object)}

    answer = write(outputs, Reply(raw=raw))

    texts = [b'{"a":0.5}', b'{"b":1.0}'], [b"a", b""]
    assert [one.datatype for one in answer.outputs] == ["BYTES", "BYTES"]
    if raw:
        lengths = [[len(one).to_bytes(4, "little") + one for one in some] for some in texts]
        assert list(answer.raw_output_contents) == [b"".join(some) for some in lengths]
    else:
        assert [list(one.contents.bytes_contents) for one in answer.outputs] == list(texts)


@pytest.mark.parametrize("raw", [False, True])
def test_outputs_of_any_layout_are_row_major(raw):
    array = np.arange(6, dtype=">i2").reshape(2, 3).T

    outputs = {"y": array, "e": np.empty((0, 2), np.float32), "s": np.array(2.0)}
    answer = write(outputs, Reply(raw=raw))

    assert [list(one.shape) for one in answer.outputs] == [[3, 2], [0, 2], []]
    if raw:
        assert np.frombuffer(answer.raw_output_contents[0], "<i2").tolist() == [0, 3, 1, 4, 2, 5]
        assert list(answer.raw_output_contents[1:]) == [b"", np.float64(2).tobytes()]
    else:
        assert list(answer.outputs[0].contents.int_contents) == [0, 3, 1, 4, 2, 5]
        assert list(answer.outputs[2].contents.fp64_contents) == [2]
