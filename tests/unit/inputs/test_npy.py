import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as arrays

from prism_core.plugin import InvalidInput, MalformedBody, NotAcceptable, Signature, TensorSpec

OUTPUTS = (TensorSpec("predictions", "FP64", (-1,)),)
MATRIX = Signature((TensorSpec("x", "FP32", (-1, 3)),), OUTPUTS)
TEXT = Signature((TensorSpec("text", "BYTES", (-1,)),), OUTPUTS)
TABLE = Signature(
    (TensorSpec("n", "INT64", (-1,)), TensorSpec("plan", "BYTES", (-1,)), TensorSpec("c", "FP64", (-1, 1))),
    OUTPUTS,
    columnar=True,
)
NUMBERS = Signature((TensorSpec("n", "INT64", (-1,)), TensorSpec("c", "FP64", (-1,))), OUTPUTS, columnar=True)
NPY = "application/x-npy"


def npy(array, **named):
    file = io.BytesIO()
    np.save(file, array, **named)
    return file.getvalue()


def header(text, data=b""):
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", "<f2", "<i8", ">u2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_any_lossless_type_and_order(read, dtype, order):
    x = read(npy(np.array([[1, 2, 3], [4, 5, 6]], dtype=dtype, order=order)), MATRIX, NPY)["x"]

    assert (x.dtype, x.tolist()) == (np.float32, [[1, 2, 3], [4, 5, 6]])


def test_a_large_array_of_the_right_type_is_not_copied(read):
    body = npy(np.ones((40_000, 3), dtype=np.float32))

    assert not read(body, MATRIX, NPY)["x"].flags.owndata


def test_a_row_may_omit_the_batch_axis(read):
    assert read(npy(np.ones(3)), MATRIX, NPY)["x"].shape == (1, 3)


def test_text(read):
    assert read(npy(np.array(["a", "bé"])), TEXT, NPY)["text"].tolist() == ["a", "bé"]


def test_the_columns_of_a_matrix_are_those_of_the_model(read):
    batch = read(npy(np.array([[1.0, 2.5], [3.0, 4.5]])), NUMBERS, NPY)

    assert (batch["n"].tolist(), batch["c"].tolist()) == ([1, 3], [2.5, 4.5])


def test_the_fields_of_a_structured_array_are_columns_by_name(read):
    rows = np.array([(1.5, "a", 3)], dtype=[("c", "f4"), ("plan", "U2"), ("n", "i2")])
    batch = read(npy(rows), TABLE, NPY)

    assert [batch[name].tolist() for name in ("n", "plan", "c")] == [[3], ["a"], [[1.5]]]


@pytest.mark.parametrize(
    ("array", "model", "message"),
    [
        (np.ones((2, 4)), MATRIX, r"shape \(2, 4\), the model expects \(-1, 3\)"),
        (np.ones((0, 3)), MATRIX, "no rows"),
        (np.array([["a", "b", "c"]]), MATRIX, "FP32"),
        (np.ones((1, 3), dtype=complex), MATRIX, "complex"),
        (np.ones((1, 3), dtype=bool), MATRIX, "bool"),
        (np.array([[1e39, 0, 0]]), MATRIX, "1e\\+39"),
        (np.array([1]), TEXT, "BYTES"),
        (np.array([[1, 2, 3]]), NUMBERS, "2 columns: n, c"),
        (np.array([[1.5, 2]]), NUMBERS, "Row 0, column 'n': expected INT64, got 1.5"),
        (np.array([[1, np.nan]]), NUMBERS, "column 'c'"),
        (np.array([(1,)], dtype=[("m", "i4")]), NUMBERS, "'m'"),
    ],
)
def test_arrays_that_do_not_fit(read, array, model, message):
    with pytest.raises(InvalidInput, match=message):
        read(npy(array), model, NPY)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x93NUMPY",
        b"\x93NUMPY\x01\x00\xff\xff",
        npy(np.ones((2, 3)))[:-1],
        npy(np.ones((2, 3))) + b"x",
        npy(np.array([{}], dtype=object), allow_pickle=True),
        header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 3)}"),
        header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (999999999999999999999,)}"),
        header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (0, 99999999999999999999)}"),
        header(b"{'descr': '<f4', 'fortran_order': False, 'shape': [1]}", bytes(4)),
        header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (True,)}", bytes(4)),
        header(b"{'descr': '<V0', 'fortran_order': False, 'shape': (5,)}"),
        header(b"{'descr': 'nonsense', 'fortran_order': False, 'shape': (5,)}"),
        header(b"{'descr': ('<f4', (2,)), 'fortran_order': False, 'shape': (1,)}", bytes(8)),
        header(b"{'descr': '<f4', 'shape': (1,)}", bytes(4)),
        header(b"__import__('os')"),
        header(b"(" * 5000),
        header(b"\xff\x00"),
        b"\x93NUMPY\x09\x00" + struct.pack("<I", 2) + b"{}",
    ],
)
def test_what_is_not_npy_is_malformed(read, body):
    with pytest.raises(MalformedBody):
        read(body, MATRIX, NPY)


def test_bytes_that_are_no_text_are_refused(read):
    with pytest.raises(InvalidInput, match="Unicode"):
        read(
            header(b"{'descr': '<U1', 'fortran_order': False, 'shape': (1,)}", b"\xff\xff\xff\xff"), TEXT, NPY
        )


@given(arrays.arrays(arrays.floating_dtypes(sizes=(32,), endianness="="), (2, 3)))
def test_written_arrays_are_read_again_bit_for_bit(read, write, array):
    assert read(write({"y": array}, NPY), MATRIX, NPY)["x"].tobytes() == array.tobytes()


def test_only_the_primary_output_is_written(write):
    body = write({"label": np.array(["a", "bc"], dtype=object), "score": np.ones(2)}, NPY)

    assert np.load(io.BytesIO(body), allow_pickle=False).tolist() == ["a", "bc"]


@pytest.mark.parametrize("value", [[{"a": 1}], np.array([1, None], dtype=object)])
def test_what_npy_cannot_hold_is_not_acceptable(write, value):
    with pytest.raises(NotAcceptable, match="not an array"):
        write({"y": value}, NPY)
