"""Requests of the protocol over REST: what they mean, and what is wrong with them."""

import json
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prism_core.plugin import LARGE_BYTES, NUMPY_TYPES, PrismError, Request, Signature, TensorSpec
from prism_oip.reading import laid, rest
from prism_oip.reply import Reply

OUTPUTS = (TensorSpec("y", "FP32", (-1,)), TensorSpec("z", "FP32", (-1,)))
MATRIX = Signature((TensorSpec("x", "FP32", (-1, 2)),), OUTPUTS)
NULLABLE = Signature((TensorSpec("x", "FP32", (-1, 2), nullable=True),), OUTPUTS)
TEXT = Signature((TensorSpec("x", "BYTES", (-1,)),), OUTPUTS)
TWO = Signature((TensorSpec("a", "INT64", (-1,)), TensorSpec("b", "BYTES", (-1,))), OUTPUTS, columnar=True)


def tensor(data, shape=(2, 2), datatype="FP32", name="x", **parameters):
    said = {"name": name, "shape": shape, "datatype": datatype}
    if data is not None:
        said["data"] = data
    return {**said, "parameters": parameters} if parameters else said


def asking(*tensors, **others):
    return {"inputs": tensors, **others}


@pytest.mark.parametrize(
    "data",
    [
        [1, 2.5, 3, -4],
        [[1, 2.5], [3, -4]],
        [[1, 2.5], [3e0, -4.0]],
        [[[1], [2.5]], [[3], [-4]]],
        [[[1, 2.5], [3, -4]]],
    ],
)
def test_values_are_flat_or_nested(read, data):
    assert read(asking(tensor(data)), MATRIX)["x"].tolist() == [[1, 2.5], [3, -4]]


def test_a_single_row_may_omit_its_axis(read):
    assert read(asking(tensor([1, 2], [2])), MATRIX)["x"].tolist() == [[1, 2]]


@pytest.mark.parametrize("order", [1, -1])
def test_inputs_come_in_any_order(read, order):
    said = [tensor([3], [1], "INT64", "a"), tensor(["x"], [1, 1], "BYTES", "b")]

    batch = read(asking(*said[::order]), TWO)

    assert {name: array.tolist() for name, array in batch.tensors.items()} == {"a": [3], "b": ["x"]}


def test_a_missing_value_is_null_where_the_model_takes_that(read):
    found = read(asking(tensor([None, 1, 2, 3])), NULLABLE)["x"]

    assert np.array_equal(found, np.array([[np.nan, 1], [2, 3]], np.float32), equal_nan=True)


@pytest.mark.parametrize(
    ("datatype", "values"),
    [
        ("UINT64", [2**64 - 1, 2**53 + 1, 0]),
        ("INT64", [2**63 - 1, -(2**63), 2**53 + 1]),
        ("UINT8", [0, 255, 3]),
        ("INT8", [-128, 127, 0]),
        ("BOOL", [True, False, True]),
        ("FP16", [65504.0, 2**-24, -0.5]),
        ("FP64", [1.7976931348623157e308, 5e-324, -0.1]),
        ("BYTES", ["", "é\x00", "\U0001f600"]),
    ],
)
def test_values_of_json_are_exact(read, datatype, values):
    signature = Signature((TensorSpec("x", datatype, (-1,)),), OUTPUTS)

    assert read(asking(tensor(values, [3], datatype)), signature)["x"].tolist() == values


def test_numbers_are_cast_where_nothing_is_lost(read):
    found = read(asking(tensor([1, 2, 3, 4], datatype="UINT8")), MATRIX)["x"]

    assert (found.dtype, found.tolist()) == (np.float32, [[1, 2], [3, 4]])


def test_what_is_said_to_be_a_shorter_float_is_one(read):
    """As if it had come raw: 0.1 as FP32 is not 0.1 as FP64."""
    wide = Signature((TensorSpec("x", "FP64", (-1,)),), OUTPUTS)

    assert read(asking(tensor([0.1], [1])), wide)["x"].tolist() == [float(np.float32(0.1))]


def test_of_the_parameters_the_model_gets_its_own(read):
    said = asking(tensor([1, 2, 3, 4], content_type="np"), parameters={"threshold": 0.3, "priority": 1})

    assert read(said, MATRIX).parameters == {"threshold": 0.3}


@pytest.mark.parametrize(
    ("others", "outputs", "reply"),
    [
        ({}, (), Reply()),
        ({"id": "42"}, (), Reply("42")),
        ({"id": ""}, (), Reply("")),
        ({"parameters": {"binary_data_output": True}}, (), Reply(raw=True)),
        ({"outputs": [{"name": "z"}]}, ("z",), Reply()),
        ({"outputs": []}, (), Reply()),
        (
            {
                "parameters": {"binary_data_output": True},
                "outputs": [{"name": "z"}, {"name": "y", "parameters": {"binary_data": False}}],
            },
            ("z", "y"),
            Reply(raw=True, raw_of={"y": False}),
        ),
        ({"more": 1, "model_name": "churn"}, (), Reply()),
    ],
)
def test_what_is_asked_for(read, others, outputs, reply):
    batch = read(asking(tensor([1, 2, 3, 4]), **others), MATRIX)

    assert (batch.outputs, batch.reply) == (outputs, reply)


# --- raw tensors -----------------------------------------------------------------------------

RAW = [
    ("BOOL", b"\x01\x00", [True, False]),
    ("UINT8", b"\x01\xff", [1, 255]),
    ("INT16", b"\x01\x00\xff\xff", [1, -1]),
    ("UINT32", b"\x01\x00\x00\x00\xff\xff\xff\xff", [1, 2**32 - 1]),
    ("INT64", b"\x01" + bytes(7) + bytes(7) + b"\x80", [1, -(2**63)]),
    ("FP16", b"\x00\x3c\x00\xfc", [1.0, -np.inf]),
    ("FP32", b"\x00\x00\x80\x3f\x00\x00\x00\xc0", [1.0, -2.0]),
    ("FP64", bytes(6) + b"\xf0\x3f" + bytes(7) + b"\x80", [1.0, -0.0]),
    ("BYTES", b"\x02\x00\x00\x00\xc3\xa9\x00\x00\x00\x00", ["é", ""]),
]


@pytest.mark.parametrize(("datatype", "data", "values"), RAW, ids=[one[0] for one in RAW])
def test_raw_tensors_are_little_endian(read, datatype, data, values):
    signature = Signature((TensorSpec("x", datatype, (-1,)),), OUTPUTS)
    said = asking(tensor(None, [2], datatype, binary_data_size=len(data)))

    found = read(said, signature, data)["x"]

    assert found.dtype == NUMPY_TYPES[datatype]
    assert found.tolist() == values


def test_bf16_becomes_the_fp32_of_equal_value(read):
    said = asking(tensor(None, [1, 2], "BF16", binary_data_size=4))

    assert read(said, MATRIX, b"\x80\x3f\x49\xc0")["x"].tolist() == [[1.0, -3.140625]]


def test_raw_tensors_and_values_in_json_come_together(read):
    said = asking(tensor(None, [2], "INT64", "a", binary_data_size=16), tensor(["x", "y"], [2], "BYTES", "b"))

    batch = read(said, TWO, np.array([3, 4]).tobytes())

    assert (batch["a"].tolist(), batch["b"].tolist()) == ([3, 4], ["x", "y"])


def test_the_values_of_an_empty_raw_tensor_may_be_null(read):
    """As KServe's client says it."""
    said = asking(tensor(None, [2, 0], binary_data_size=0) | {"data": None})
    any_width = Signature((TensorSpec("x", "FP32", (-1, -1)),), OUTPUTS)

    assert read(said, any_width, b"")["x"].shape == (2, 0)


def test_raw_tensors_lie_in_the_order_of_the_inputs(read):
    said = asking(
        tensor(None, [1], "BYTES", "b", binary_data_size=5),
        tensor(None, [1], "INT64", "a", binary_data_size=8),
    )

    batch = read(said, TWO, b"\x01\x00\x00\x00x", np.array([3]).tobytes())

    assert (batch["a"].tolist(), batch["b"].tolist()) == ([3], ["x"])


def test_an_image_is_not_copied():
    """A view of the body, wherever the JSON before it ends."""
    from prism_core.plugin import Request
    from prism_oip.reading.rest import normalize

    image = Signature((TensorSpec("x", "FP32", (-1, 3, 224, 224)),), OUTPUTS)
    said = json.dumps(asking(tensor(None, [1, 3, 224, 224], binary_data_size=602112))).encode()
    said += b" " * (-len(said) % 4)
    body = memoryview(said + np.ones(150528, np.float32).tobytes())

    found = normalize(body, image, Request({"header": str(len(said))}, {}))["x"]

    assert np.shares_memory(found, np.frombuffer(body, np.uint8))


@pytest.mark.parametrize(
    ("signature", "data", "values"),
    [
        (MATRIX, np.array([1, 2, 3, 4], np.float32).tobytes(), [[1, 2], [3, 4]]),
        (Signature((TensorSpec("x", "INT8", (-1, -1)),), OUTPUTS), b"\x01\x02\x03", [[1, 2, 3]]),
        (Signature((TensorSpec("x", "INT8", (-1,)),), OUTPUTS, batch_axis=False), b"\x01\x02", [1, 2]),
        (TEXT, b"no length before it", ["no length before it"]),
    ],
)
def test_a_raw_body_is_one_tensor(read, signature, data, values):
    batch = read(data, signature, header="0")

    assert batch["x"].tolist() == values
    assert batch.reply.raw


# --- what is wrong ---------------------------------------------------------------------------

GOOD = tensor([1, 2, 3, 4])
MALFORMED = {
    "no JSON": b'{"inputs": [',
    "nothing": b"",
    "no UTF-8": b'{"inputs": [{"name": "\xff"}]}',
    "NaN": b'{"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [NaN]}]}',
    "half a character": b'{"id": "\\ud800", "inputs": []}',
    "a list": [GOOD],
    "no inputs": {"input": [GOOD]},
    "inputs of no form": {"inputs": GOOD},
    "no name": asking({"shape": [1], "datatype": "FP32", "data": [1]}),
    "no name, else right": asking({key: one for key, one in GOOD.items() if key != "name"}),
    "a number as id": asking(GOOD, id=42),
    "outputs by name alone": asking(GOOD, outputs=["y"]),
    "parameters of no form": asking(GOOD, parameters=[1]),
    "a text as flag": asking(GOOD, parameters={"binary_data_output": "yes"}),
    "an output twice": asking(GOOD, outputs=[{"name": "y"}, {"name": "y"}]),
    "an input twice": asking(GOOD, GOOD),
    "a negative axis": asking(tensor([1], [-1, 2])),
    "an axis of no number": asking(tensor([1], ["1", 2])),
    "a shape without end": asking(tensor([1], [2**40] * 4)),
    "a shape without end, and empty": asking(tensor([], [0, 2**40, 2**40])),
    "too many axes": asking(tensor([1], [1] * 33)),
    "an unknown datatype": asking(tensor([1, 2, 3, 4], datatype="FLOAT")),
    "BF16 as JSON": asking(tensor([1, 2, 3, 4], datatype="BF16")),
    "too few values": asking(tensor([1, 2, 3])),
    "values of another shape": asking(tensor([[1, 2, 3, 4]])),
    "no values": asking(tensor(None)),
    "a value in no list": asking(tensor(1, [1])),
    "values and raw": asking(tensor([1, 2, 3, 4], binary_data_size=16)),
    "raw without a header": asking(tensor(None, binary_data_size=16)),
    "a negative size": asking(tensor(None, binary_data_size=-1)),
    "a size of no number": asking(tensor(None, binary_data_size="16")),
    "shared memory": asking(tensor(None, shared_memory_region="r", shared_memory_byte_size=16)),
    "classes": asking(GOOD, outputs=[{"name": "y", "parameters": {"classification": 2}}]),
    "lists without end": b'{"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": %b}]}'
    % (b"[" * 5000 + b"]" * 5000),
    "an unclosed depth": b'{"inputs": ' + b"[" * 100_000,
}


@pytest.mark.parametrize("said", MALFORMED.values(), ids=list(MALFORMED))
def test_what_is_no_request_is_refused(refused, said):
    assert refused(said, MATRIX).status == 400


@pytest.mark.parametrize(
    ("size", "raw"),
    [(16, bytes(15)), (16, bytes(17)), (15, bytes(15)), (2**70, bytes(16)), (0, b"")],
)
def test_sizes_that_lie_are_refused(refused, size, raw):
    assert refused(asking(tensor(None, binary_data_size=size)), MATRIX, raw).status == 400


@pytest.mark.parametrize(
    "parameters", [{"binary_data_size": True}, {"binary_data_size": 1, "shared_memory_region": "r"}]
)
def test_what_is_wrong_with_parameters_is_seen_where_only_sizes_count(refused, parameters):
    signature = Signature((TensorSpec("x", "INT8", (-1,)),), OUTPUTS)
    said = asking({"name": "x", "shape": [1], "datatype": "INT8", "parameters": parameters})

    assert [refused(said, signature, b"\1").status for _ in range(2)] == [400, 400]


@pytest.mark.parametrize("data", [b"\x05\x00\x00\x00x", b"\xff\xff\xff\xff", b"\x00", b"\x00" * 9, b""])
def test_texts_that_lie_about_their_length_are_refused(refused, data):
    error = refused(asking(tensor(None, [1], "BYTES", binary_data_size=len(data))), TEXT, data)

    assert error.status == 400
    assert "'x'" in error.message


@pytest.mark.parametrize("header", ["", "-1", "1e3", "99999", "9" * 30, "²"])
def test_a_header_that_is_no_length_is_refused(refused, header):
    assert refused(asking(GOOD), MATRIX, header=header).status == 400


def test_all_that_is_malformed_is_told_at_once(refused):
    error = refused(asking(tensor([1], [-1], name="a"), tensor([1], [2], "FLOAT", "b")), TWO)

    assert [said.split(" has ")[0] for said in error.details["errors"]] == ["Input 'a'", "Input 'b'"]


@pytest.mark.parametrize(
    ("said", "faults"),
    [
        (asking(tensor([1, "2", None, 4])), [(0, 1), (1, 0)]),
        (asking(tensor([[1, "2"], [3, True]])), [(0, 1), (1, 1)]),
        (asking(tensor([1, 2, 3, 1e39])), [(1, 1)]),
        (asking(tensor([1, 2, [3], 4])), [(1, 0)]),
        (asking(tensor([[1, 2], [3]])), [(1, "x")]),
        (asking(tensor([1, 2, 3, 256], datatype="UINT8")), [(1, 1)]),
        (asking(tensor([1, 2, 3, 4], name="y")), [(0, "y"), (0, "x")]),
    ],
)
def test_values_that_do_not_fit_are_told_at_once(refused, said, faults):
    error = refused(said, MATRIX)

    assert error.status == 422
    assert [(one["row"], one["column"]) for one in error.details["errors"]] == faults


def test_faults_name_their_tensors(refused):
    said = asking(tensor(["x"], [1], "INT64", "a"), tensor([1], [1], "BYTES", "b"), tensor([1], name="c"))

    error = refused(asking(*said["inputs"][:2]), TWO)

    assert [one["column"] for one in error.details["errors"]] == ["a", "b"]


@pytest.mark.parametrize(
    ("signature", "said", "raw"),
    [
        (MATRIX, asking(tensor([1, 2, 3], [1, 3])), ()),
        (MATRIX, asking(tensor([], [0, 2])), ()),
        (MATRIX, asking(tensor(["a", "b"], [1, 2], "BYTES")), ()),
        (MATRIX, asking(tensor(None, [1, 2], "INT64", binary_data_size=16)), (np.array([2**53 + 1, 0]),)),
        (TEXT, asking(tensor(None, [1], "BYTES", binary_data_size=5)), (b"\x01\x00\x00\x00\xff",)),
        (TWO, asking(tensor([1], [1], "INT64", "a")), ()),
        (TWO, b"\x00", ()),
        (TEXT, b"\xff", ()),
    ],
)
def test_what_does_not_fit_the_model_is_refused(refused, signature, said, raw):
    parameters = {"header": "0"} if isinstance(said, bytes) else {}
    assert refused(said, signature, *(bytes(one) for one in raw), **parameters).status == 422


def test_inputs_of_wrong_shapes_are_told_at_once(refused):
    two = Signature((TensorSpec("a", "FP32", (-1, 2)), TensorSpec("b", "FP32", (-1, 3))), OUTPUTS)
    error = refused(asking(tensor([1], [1, 1], name="a"), tensor([1], [1, 1], name="b")), two)

    assert [one["input"] for one in error.details["errors"]] == ["a", "b"]


# --- JSON that was read before --------------------------------------------------------------


def raw_head(**others):
    return asking(tensor(None, [1, 2], binary_data_size=8), **others)


def test_equal_json_means_the_same_and_values_are_each_requests_own(read):
    said = raw_head(id="7", parameters={"threshold": 0.3})
    batches = [read(said, MATRIX, np.array(row, "<f4").tobytes()) for row in ([1, 2], [3, 4])]

    assert [batch["x"].tolist() for batch in batches] == [[[1, 2]], [[3, 4]]]
    assert [batch.reply.id for batch in batches] == ["7", "7"]
    batches[0].parameters["threshold"] = 1  # as a model may
    assert read(said, MATRIX, bytes(8)).parameters == {"threshold": 0.3}


def test_how_the_answer_may_be_packed_is_not_in_the_json(read):
    replies = [read(raw_head(), MATRIX, bytes(8), answer=answer).reply for answer in ("gzip", "", "gzip")]

    assert [reply.packing for reply in replies] == ["gzip", "", "gzip"]


def test_a_fault_is_told_each_time(refused):
    said = raw_head(parameters={"classification": 2})

    assert [refused(said, MATRIX, bytes(8)).status for _ in range(2)] == [400, 400]
    assert [refused(raw_head(), MATRIX, bytes(9)).status for _ in range(2)] == [400, 400]


def test_what_is_remembered_is_bounded_and_holds_no_values(read):
    for number in range(rest.REMEMBERED + 10):
        read(raw_head(id=str(number)), MATRIX, bytes(8))
    assert len(rest._known) <= rest.REMEMBERED

    before = set(rest._known)
    read(asking(tensor(None, [1, 2], binary_data_size=8), id="x" * rest.REMEMBERED_BYTES), MATRIX, bytes(8))
    read(asking(tensor([1, 2], [1, 2], "FP64")), MATRIX)
    assert set(rest._known) == before


SIGNATURES = {
    "matrix": MATRIX,
    "nullable": NULLABLE,
    "no rows": Signature((TensorSpec("x", "FP32", (2,)),), OUTPUTS, batch_axis=False),
    "wide": Signature((TensorSpec("x", "FP64", (-1, 2)),), OUTPUTS),
    "column": Signature((TensorSpec("x", "FP32", (-1,)),), OUTPUTS, columnar=True),
    "any": Signature((TensorSpec("x", "FP32", (-1, -1)),), OUTPUTS),
    "bools": Signature((TensorSpec("x", "BOOL", (-1, 2)),), OUTPUTS),
    "two": Signature((TensorSpec("x", "FP32", (-1, 2)), TensorSpec("w", "INT32", (-1,))), OUTPUTS),
}


@pytest.mark.parametrize("signature", SIGNATURES.values(), ids=SIGNATURES)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("xw"),
            st.sampled_from(["FP32", "FP64", "INT32", "BOOL", "BF16"]),
            st.lists(st.integers(0, 3), max_size=3),
            st.integers(-4, 4),
        ),
        max_size=3,
    ),
    st.binary(max_size=40),
)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_read_by_its_plan_is_what_is_read_without(read, monkeypatch, signature, said, data):
    """Or refused alike."""
    tensors = [
        tensor(None, shape, datatype, name, binary_data_size=max(0, 4 * math.prod(shape) + more))
        for name, datatype, shape, more in said
    ]
    raw = (data * 4)[: sum(one["parameters"]["binary_data_size"] for one in tensors)]

    def outcome():
        try:
            batch = read(asking(*tensors), signature, raw)
        except PrismError as error:
            return str(error)
        return {name: (array.dtype, array.shape, array.tobytes()) for name, array in batch.tensors.items()}

    planned = outcome()
    with monkeypatch.context() as patch:
        patch.setattr(laid, "read", lambda plan, behind: None)
        assert outcome() == planned


@pytest.mark.parametrize(("rows", "viewed"), [(2, False), (LARGE_BYTES // 8, True)])
def test_a_large_tensor_is_a_view_of_the_body_and_a_small_one_lies_well(rows, viewed):
    said = json.dumps(asking(tensor(None, [rows, 2], binary_data_size=8 * rows))).encode()
    body = memoryview(said + b" " * (-len(said) % 64) + bytes(8 * rows))
    header = len(body) - 8 * rows

    found = rest.normalize(body, MATRIX, Request({"header": str(header)}, {}))["x"]

    assert np.shares_memory(found, np.frombuffer(body, np.uint8)) == viewed
