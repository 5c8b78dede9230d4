"""Damaged bodies in every media type: read, or refused; whole and in steps alike."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from prism_core.fitting.tensors import pack
from prism_core.inputs import csv_parts, json_parts, prism_normalizers
from prism_core.plugin import Batch, PrismError, Request, Signature, TensorSpec
from prism_core.testing.fuzzing import fuzz
from prism_core.testing.normalizers import in_steps
from prism_core.testing.tensors import assert_fits, assert_same

# Pillow warns of odd metadata; numpy of old names of types.
pytestmark = [pytest.mark.sweep, pytest.mark.filterwarnings("ignore")]

OUTPUTS = (TensorSpec("y", "FP64", (-1,)),)
MATRIX = Signature((TensorSpec("x", "FP32", (-1, 4)),), OUTPUTS)
NAMED = Signature((TensorSpec("x", "FP64", (-1, 3), columns=("a", "b", "c")),), OUTPUTS)
TEXTS = Signature((TensorSpec("x", "BYTES", (-1,)),), OUTPUTS)
PICTURES = Signature((TensorSpec("x", "UINT8", (-1, 3, -1, -1)),), OUTPUTS)
FLAT = Signature((TensorSpec("x", "FP32", (-1, 64)),), OUTPUTS)
WHOLE = Signature((TensorSpec("x", "FP16", (-1, -1)),), OUTPUTS, batch_axis=False)
TABLE = Signature(
    (
        TensorSpec("a", "INT64", (-1,)),
        TensorSpec("b", "BYTES", (-1, 1)),
        TensorSpec("c", "FP32", (-1,), nullable=True),
    ),
    OUTPUTS,
    columnar=True,
)
BOOLEANS = Signature((TensorSpec("a", "BOOL", (-1,), nullable=True),), OUTPUTS, columnar=True)
TWO = Signature((TensorSpec("a", "FP32", (-1, 2)), TensorSpec("b", "INT8", (-1,))), OUTPUTS)


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def picture(kind, **options):
    file = io.BytesIO()
    Image.new("RGB", (8, 6), (9, 99, 199)).save(file, kind, **options)
    return file.getvalue()


ROWS = np.arange(8, dtype=np.float32).reshape(2, 4)
FIELDS = np.array([(1, "x", 2.0)], dtype=[("a", "i8"), ("b", "U3"), ("c", "f4")])
STRINGS = Batch({"x": np.array(["one", None], dtype=object)}, ("y",), {"t": [1]})
RECORDS = (
    b'{"input": [{"a": 1, "b": "x", "c": null}, {"a": -2, "b": "", "c": 1.5}], "parameters": {"t": [1]}}'
)
# Media type -> signature -> good bodies.
SEEDS = {
    "application/json": [
        (
            MATRIX,
            [b'{"input": [[1, 2.5, 3e0, -4]]}', b"[[1,2,3,4],[5,6,7,8]]", b'{"instances": [1, 2, 3, 4]}'],
        ),
        (
            NAMED,
            [
                b'{"input": [{"a": 1, "b": 2, "c": 3}]}',
                b'{"inputs": {"columns": ["c","b","a"], "data": [[1,2,3]]}}',
            ],
        ),
        (TEXTS, [b'{"input": ["one", "tw\\u00e9", "\\ud83d\\ude00"]}', b'["one"]']),
        (WHOLE, [b'{"input": [[1, 2], [3, 4]]}', b'{"inputs": {"x": [[0.5]]}}']),
        (TABLE, [RECORDS, b'{"input": [[1, "x", 2.5]]}', b'{"inputs": {"a": [1], "b": ["x"], "c": [null]}}']),
        (BOOLEANS, [b'{"input": [true, false]}', b'[{"a": false}]']),
        (TWO, [b'{"inputs": {"a": [[1, 2]], "b": [3]}, "outputs": ["y"]}', b'[{"a": [1, 2], "b": 3}]']),
        (PICTURES, [b'{"input": [{"b64": "%b"}]}' % base64.b64encode(picture("PNG"))]),
    ],
    "application/x-npy": [
        (MATRIX, [npy(ROWS), npy(np.asfortranarray(ROWS)), npy(ROWS.astype(">i2"))]),
        (WHOLE, [npy(ROWS), npy(ROWS.astype("f2"))]),
        (TABLE, [npy(FIELDS)]),
        (TEXTS, [npy(np.array(["a", "bc"]))]),
        (BOOLEANS, [npy(np.array([True, False]))]),
    ],
    "application/octet-stream": [(MATRIX, [ROWS.tobytes()]), (BOOLEANS, [b"\0\1"])],
    "application/vnd.prism.tensors": [
        (
            MATRIX,
            [pack(Batch({"x": ROWS})), pack(Batch({"x": ROWS.astype("i4")}, (), {"t": {"a": [1, "b"]}}))],
        ),
        (TABLE, [pack(Batch({"a": np.array([1]), "b": np.array([["x"]]), "c": np.array([1], np.float32)}))]),
        (Signature((TensorSpec("x", "BYTES", (-1,), nullable=True),), OUTPUTS), [pack(STRINGS)]),
    ],
    "text/csv": [
        (MATRIX, [b"a,b,c,d\n1,2,3,4\n", b"1,2,3,4\n5,6,7,8e1\n"]),
        (NAMED, [b"c,b,a\n1,2,3\n", b'a,b,c\r\n"1",2.5,-3\r\n']),
        (TABLE, [b'a,b,c\n1,"x, y",\n2,"say ""y""",3.5\n']),
        (BOOLEANS, [b"a\ntrue\nFALSE\n"]),
        (TEXTS, [b'x\none\n"two\nlines"\n']),
    ],
    "text/plain": [(TEXTS, [b"one\ntwo\r\n", "é\n".encode()])],
    **{
        f"image/{kind.lower()}": [(PICTURES, [picture(kind)]), (FLAT, [picture(kind)])]
        for kind in ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
    },
}
NORMALIZERS = {one.media_type: one for one in prism_normalizers() if one.normalize}
PARAMETERS = (
    {},
    {"header": "false"},
    {"lines": "true", "charset": "iso-8859-1"},
    {"shape": "1,4", "dtype": "INT32"},
)
SCENES = [(name, at) for name, scenes in SEEDS.items() for at in range(len(scenes))]


def test_every_media_type_is_tried():
    assert SEEDS.keys() == NORMALIZERS.keys()


@pytest.mark.parametrize(("media_type", "at"), SCENES, ids=[f"{name}-{at}" for name, at in SCENES])
def test_a_damaged_body_is_read_or_refused(media_type, at):
    reader = NORMALIZERS[media_type]
    signature, seeds = SEEDS[media_type][at]
    requests = [Request(parameters, {}) for parameters in PARAMETERS]

    def read(body):
        request = requests[len(body) % len(requests)]
        batch = reader.normalize(memoryview(body), signature, request)
        assert_fits(batch, signature.inputs)

    for seed in seeds:
        reader.normalize(memoryview(seed), signature, requests[0])
    report = fuzz(read, seeds, cases=900)

    assert 0 < report.refused < report.cases


@pytest.mark.parametrize(
    ("media_type", "at"), [(name, at) for name, at in SCENES if NORMALIZERS[name].normalize_steps]
)
def test_a_body_means_in_steps_what_it_means_as_a_whole(media_type, at):
    """In steps of a few bytes where tables are cut; what that cannot read is left to the other."""
    signature, seeds = SEEDS[media_type][at]
    reader, request = NORMALIZERS[media_type], Request({}, {})
    pieces = {"text/csv": csv_parts, "application/json": json_parts}.get(media_type)
    agreed = []

    def read(body):
        view = memoryview(body)
        steps = (
            pieces.normalize(view, signature, request, piece_bytes=8)
            if pieces
            else reader.normalize_steps(view, signature, request)
        )
        found = in_steps(steps)
        if found is not None:
            whole = reader.normalize(view, signature, request)
            assert_same(found.tensors, whole.tensors)
            assert (found.outputs, found.parameters) == (whole.outputs, whole.parameters)
            agreed.append(1)

    fuzz(read, seeds, cases=600, allowed=(PrismError,))

    assert agreed or signature is not MATRIX
