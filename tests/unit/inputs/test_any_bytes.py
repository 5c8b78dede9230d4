"""No body crashes a runtime: whatever arrives is read, or refused with an error of our own."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from prism_core.fitting.tensors import pack
from prism_core.inputs import prism_normalizers
from prism_core.plugin import Batch, PrismError, Request, Signature, TensorSpec

OUTPUTS = (TensorSpec("y", "FP64", (-1,)),)
SIGNATURES = [
    Signature((TensorSpec("x", "FP32", (-1, 4)),), OUTPUTS),
    Signature((TensorSpec("x", "BYTES", (-1,)),), OUTPUTS),
    Signature((TensorSpec("x", "UINT8", (-1, 3, -1, -1)),), OUTPUTS),
    Signature((TensorSpec("x", "FP16", (-1, -1)),), OUTPUTS, batch_axis=False),
    Signature((TensorSpec("a", "INT64", (-1,)), TensorSpec("b", "BYTES", (-1, 1))), OUTPUTS, columnar=True),
    Signature((TensorSpec("a", "BOOL", (-1,), nullable=True),), OUTPUTS, columnar=True),
]
READERS = [one for one in prism_normalizers() if one.normalize]


def seeds():
    file = io.BytesIO()
    np.save(file, np.ones((1, 4), dtype=np.float32))
    yield file.getvalue()
    yield np.ones((1, 4), dtype=np.float32).tobytes()
    yield pack(Batch({"x": np.ones((1, 4), dtype=np.float32)}))
    yield pack(Batch({"a": np.array([1]), "b": np.array([["x"]])}))
    yield from (
        b'{"input": [[1, 2, 3, 4]]}',
        b'{"input": [{"a": 1, "b": "x"}]}',
        b'a,b\n1,"x"\n',
        b"a,b,c,d\n1,2,3,4\n",
    )
    for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"):
        file = io.BytesIO()
        Image.new("RGB", (4, 3), (9, 99, 199)).save(file, kind)
        yield file.getvalue()


SEEDS = list(seeds())


@st.composite
def damaged(draw):
    """Return a good body with a few bytes changed, dropped or added."""
    body = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(body)))
        body[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(body)


@pytest.mark.parametrize("reader", READERS, ids=lambda one: one.media_type)
@pytest.mark.filterwarnings("ignore")  # Pillow warns of odd metadata; a warning is no crash
@settings(deadline=None)  # the first example compiles and imports
@given(
    body=damaged() | st.binary(max_size=64),
    signature=st.sampled_from(SIGNATURES),
    parameters=st.dictionaries(
        st.sampled_from(["shape", "dtype", "header", "lines", "charset"]),
        st.sampled_from(["", "1,4", "true", "false", "INT8", "float64"]) | st.text(max_size=4),
        max_size=2,
    ),
)
def test_no_body_crashes_a_reader(reader, body, signature, parameters):
    try:
        batch = reader.normalize(memoryview(body), signature, Request(parameters, {}))
    except PrismError:
        return

    for spec in signature.inputs:
        assert batch[spec.name].dtype == spec.dtype
        assert batch[spec.name].ndim == len(spec.shape)
