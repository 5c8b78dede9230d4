import numpy as np
import pytest

from prism_core.plugin import InvalidInput, MalformedBody, NotAcceptable, Signature, TensorSpec

OUTPUTS = (TensorSpec("predictions", "FP64", (-1,)),)
MATRIX = Signature((TensorSpec("x", "FP32", (-1, 3)),), OUTPUTS)
OPEN = Signature((TensorSpec("x", "FP32", (-1, -1)),), OUTPUTS)
FIXED = Signature((TensorSpec("x", "INT8", (2, 2)),), OUTPUTS, batch_axis=False)
NUMBERS = Signature((TensorSpec("a", "FP64", (-1,)), TensorSpec("b", "FP64", (-1,))), OUTPUTS, columnar=True)
MIXED = Signature((TensorSpec("a", "FP64", (-1,)), TensorSpec("b", "INT64", (-1,))), OUTPUTS, columnar=True)
TEXT = Signature((TensorSpec("text", "BYTES", (-1,)),), OUTPUTS)
BOOL = Signature((TensorSpec("x", "BOOL", (-1,)),), OUTPUTS)
RAW = "application/octet-stream"
SIX = np.arange(6, dtype=np.float32)


def test_rows_follow_from_the_length(read):
    assert read(SIX.tobytes(), MATRIX, RAW)["x"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_the_model_gets_a_view_of_a_large_body(read):
    body = np.tile(SIX, 40_000).tobytes()

    assert not read(body, MATRIX, RAW)["x"].flags.owndata


@pytest.mark.parametrize("shape", ["2,3", "2x3", "[2, 3]"])
@pytest.mark.parametrize("dtype", ["int16", "INT16"])
def test_shape_and_dtype_can_be_said(read, shape, dtype):
    x = read(SIX.astype("<i2").tobytes(), OPEN, RAW, shape=shape, dtype=dtype)["x"]

    assert (x.dtype, x.tolist()) == (np.float32, [[0, 1, 2], [3, 4, 5]])


def test_columns_of_one_type(read):
    batch = read(np.array([[1.0, 2], [3, 4]]).tobytes(), NUMBERS, RAW)

    assert (batch["a"].tolist(), batch["b"].tolist()) == ([1, 3], [2, 4])


def test_a_fixed_shape(read):
    assert read(b"\x01\x02\x03\xff", FIXED, RAW)["x"].tolist() == [[1, 2], [3, -1]]


@pytest.mark.parametrize(
    ("body", "model", "parameters", "error"),
    [
        (SIX.tobytes()[:-1], MATRIX, {}, MalformedBody),
        (SIX.tobytes()[:-4], MATRIX, {}, MalformedBody),
        (SIX.tobytes(), MATRIX, {"shape": "1,3"}, MalformedBody),
        (SIX.tobytes(), MATRIX, {"shape": "3,2"}, InvalidInput),
        (SIX.tobytes(), MATRIX, {"shape": "-1,3"}, InvalidInput),
        (SIX.tobytes(), MATRIX, {"shape": "two"}, InvalidInput),
        (b"", MATRIX, {"shape": "0,9999999999999999999"}, InvalidInput),
        (b"", MATRIX, {"shape": ",".join(["0"] * 65)}, InvalidInput),
        (SIX.tobytes(), MATRIX, {"dtype": "object"}, InvalidInput),
        (SIX.tobytes(), OPEN, {}, InvalidInput),
        (SIX.tobytes(), MIXED, {}, InvalidInput),
        (SIX.tobytes(), TEXT, {}, InvalidInput),
        (SIX.tobytes(), TEXT, {"dtype": "float32"}, InvalidInput),
        (b"", MATRIX, {}, InvalidInput),
        (b"\x00\x02", BOOL, {}, MalformedBody),
        (b"\x00" * 5, FIXED, {}, MalformedBody),
    ],
)
def test_what_does_not_fit_is_refused(read, body, model, parameters, error):
    with pytest.raises(error):
        read(body, model, RAW, **parameters)


def test_the_primary_output_is_written_little_endian(write):
    assert write({"y": np.array([1], dtype=">i2"), "z": np.ones(2)}, RAW) == b"\x01\x00"


def test_text_has_no_raw_bytes(write):
    with pytest.raises(NotAcceptable, match="text"):
        write({"y": np.array(["a"])}, RAW)
