"""Every node test of the ``onnx`` package that onnxruntime can run is served with equal outputs.

The counts hold for one pair of versions; ``docs/reference/onnx.md`` repeats them.
"""

from __future__ import annotations

import ctypes
import json
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import httpx
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto

from prism_core.fitting.tensors import pack, unpack
from prism_core.plugin import Artifact, ArtifactError, Batch, ModelLoadFailed, PrismError
from prism_core.testing.server import ServerProcess
from prism_onnx import OnnxOptions
from prism_onnx.model import OnnxModel, load

pytestmark = pytest.mark.sweep

VERSIONS = ("1.23.2", "1.31.1")
COUNTS = {"all": 1884, "not loaded": 369, "not run": 3, "run": 1512}
# What onnxruntime runs and PRISM refuses: a signature has no place for these inputs.
REFUSED = {
    "test_identity_sequence": "a sequence of tensors whose number of axes is not declared",
    "test_sequence_insert_at_back": "a sequence of tensors whose number of axes is not declared",
    "test_sequence_insert_at_front": "a sequence of tensors whose number of axes is not declared",
}
# What the loader serves, but no body can say.
REFUSED_OVER_HTTP = dict.fromkeys(
    (
        "test_sequence_map_add_2_sequences",
        "test_sequence_map_add_2_sequences_expanded",
        "test_sequence_map_extract_shapes",
        "test_sequence_map_extract_shapes_expanded",
        "test_sequence_map_identity_1_sequence_1_tensor",
        "test_sequence_map_identity_1_sequence_1_tensor_expanded",
        "test_sequence_map_identity_2_sequences",
        "test_sequence_map_identity_2_sequences_expanded",
    ),
    "a sequence of tensors of different shapes",
)
CLIENTS = 4
TENSORS = "application/vnd.prism.tensors"
# onnxruntime reads no newer files; the node tests are stamped with the package's own version.
IR_VERSION = 13
FLOAT8 = (
    TensorProto.FLOAT8E4M3FN,
    TensorProto.FLOAT8E4M3FNUZ,
    TensorProto.FLOAT8E5M2,
    TensorProto.FLOAT8E5M2FNUZ,
)
SIGNED = (TensorProto.INT4, TensorProto.INT2)
BITS = {TensorProto.BFLOAT16: 16, **dict.fromkeys(FLOAT8, 8)}
BITS |= {TensorProto.INT4: 4, TensorProto.UINT4: 4, TensorProto.INT2: 2, TensorProto.UINT2: 2}


@attrs.frozen
class Case:
    """A model that onnxruntime runs, what it is given, and what onnxruntime answers."""

    name: str
    model: bytes
    inputs: dict[str, Any]
    answers: dict[str, Any]


@attrs.frozen
class Sweep:
    """All node tests, by what onnxruntime itself makes of them."""

    run: list[Case]
    not_loaded: list[tuple[str, bytes]]
    not_run: list[str]


@pytest.fixture(scope="module")
def sweep() -> Sweep:
    """Build the node tests and run each in onnxruntime."""
    from onnx.backend.test.loader import load_node_model_tests

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = load_node_model_tests()
    sweep = Sweep([], [], [])
    for case in found:
        case.model.ir_version = min(case.model.ir_version, IR_VERSION)
        sort_in(sweep, case.name, case.model.SerializeToString(), case.data_sets[0][0])
    return sweep


def sort_in(sweep: Sweep, name: str, model: bytes, values: list[Any]) -> None:
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    settings.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(model, settings)
    except Exception:
        sweep.not_loaded.append((name, model))
        return
    sent = dict(zip([arg.name for arg in session.get_inputs()], values, strict=False))
    try:
        answers = answers_of(session, sent)
    except Exception:
        sweep.not_run.append(name)
        return
    sweep.run.append(Case(name, model, {key: shown(value) for key, value in sent.items()}, answers))


def answers_of(session: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """Return onnxruntime's own answers; types that numpy lacks pass through memory as they are."""
    names = [arg.name for arg in session.get_outputs()]
    types = " ".join(arg.type for arg in (*session.get_inputs(), *session.get_outputs()))
    if not any(kind in types for kind in ("float8", "bfloat", "int4", "int2")):
        feeds = {name: shown(value) for name, value in inputs.items()}
        return dict(zip(names, session.run(names, feeds), strict=True))
    values = session.run_with_ort_values(names, {name: ort_value(value) for name, value in inputs.items()})
    return {name: of_ort_value(value) for name, value in zip(names, values, strict=True)}


def ort_value(value: Any) -> Any:
    if not isinstance(value, TensorProto) or value.data_type not in BITS:
        return onnxruntime.OrtValue.ortvalue_from_numpy(shown(value))
    made = onnxruntime.OrtValue.ortvalue_from_shape_and_type(list(value.dims), value.data_type)
    content = value.raw_data or bytes(value.int32_data)
    ctypes.memmove(made.data_ptr(), content, len(content))
    return made


def of_ort_value(value: Any) -> Any:
    kind, shape = value.element_type(), value.shape()
    if kind not in BITS:
        return value.numpy()
    content = ctypes.string_at(value.data_ptr(), -(-int(np.prod(shape)) * BITS[kind] // 8))
    return shown(TensorProto(data_type=kind, dims=shape, raw_data=content))


def shown(value: Any) -> Any:
    """Return a value of the node tests as PRISM takes it and answers it."""
    if isinstance(value, list):
        return [shown(one) for one in value]
    if not isinstance(value, TensorProto):
        return np.asarray(value)
    array = onnx.numpy_helper.to_array(value)
    if value.data_type not in BITS:
        return array
    if value.data_type == TensorProto.BFLOAT16:
        return array.astype(np.float32)
    if value.data_type in FLOAT8:
        return array.view(np.uint8)
    return array.astype(np.int8 if value.data_type in SIGNED else np.uint8)


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(equal, one, other))
    if one.dtype.kind in "USO":
        return one.shape == other.shape and one.tolist() == other.tolist()
    return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


def loaded(model: bytes, directory: Path) -> OnnxModel:
    path = directory / "model.onnx"
    path.write_bytes(model)
    return load(Artifact(path, "model.onnx"), OnnxOptions())


@pytest.mark.skipif(
    (onnx.__version__, onnxruntime.__version__) != VERSIONS, reason="counted for other versions"
)
def test_there_are_as_many_as_the_documentation_says(sweep):
    every = len(sweep.run) + len(sweep.not_loaded) + len(sweep.not_run)

    assert {
        "all": every,
        "not loaded": len(sweep.not_loaded),
        "not run": len(sweep.not_run),
        "run": len(sweep.run),
    } == COUNTS


def test_the_loader_answers_as_onnxruntime_does(sweep, tmp_path):
    wrong = {}
    for case in sweep.run:
        try:
            model = loaded(case.model, tmp_path)
            got = model.predict(Batch(case.inputs, outputs=tuple(case.answers)))
        except PrismError as error:
            wrong[case.name] = error.message
            continue
        differing = [name for name, answer in case.answers.items() if not equal(answer, got[name])]
        if differing:
            wrong[case.name] = f"another answer in {differing}"

    assert set(wrong) == set(REFUSED), wrong


def test_what_onnxruntime_does_not_load_is_refused_in_our_words(sweep, tmp_path):
    said = []
    for name, model in sweep.not_loaded:
        with pytest.raises((ModelLoadFailed, ArtifactError)) as caught:
            loaded(model, tmp_path)
        said.append((name, caught.value.message, caught.value.hint))

    assert [one for one in said if not one[2] or "/" in one[1] or "ONNXRuntimeError" in one[1]] == []


def over_http(server: ServerProcess, client: httpx.Client, case: Case) -> str:
    """Upload the case's model, predict, remove it; return what went wrong."""
    name = case.name.lower()[-64:].lstrip("_")
    spec = json.dumps({"name": name, "filename": "model.onnx"})
    admin = server.facts["admin"]
    lines = client.post(
        f"{admin}/admin/v1/upload", params={"spec": spec}, content=case.model
    ).text.splitlines()
    last = json.loads(lines[-1])
    if last.get("event") != "done":
        return f"upload: {lines[-1]}"
    inputs = {key: as_tensor(value) for key, value in case.inputs.items()}
    body = pack(Batch(inputs, outputs=tuple(case.answers)))
    try:
        answer = client.post(
            f"{server.url}/model/{name}/predict",
            content=body,
            headers={"Content-Type": TENSORS, "Accept": TENSORS},
        )
    finally:
        client.delete(f"{admin}/admin/v1/models/{name}")
    if answer.status_code != 200:
        return f"predict: {answer.text}"
    got = unpack(memoryview(answer.content))
    differing = [key for key, value in case.answers.items() if not equal(value, as_sent(got[key], value))]
    return f"another answer in {differing}" if differing else ""


def as_tensor(value: Any) -> Any:
    """Send a sequence as one tensor of its elements, if they have one shape."""
    if not isinstance(value, list):
        return value
    if not value:
        return np.zeros(0, np.float32)
    return np.stack(value) if len({one.shape for one in value}) == 1 else value


def as_sent(got: Any, expected: Any) -> Any:
    """Give the elements of a list, which travel as JSON, their type back."""
    if not isinstance(expected, list):
        return got
    return [np.array(one, wanted.dtype) for one, wanted in zip(got, expected, strict=True)]


def test_a_server_answers_as_onnxruntime_does(sweep, tmp_path):
    """The whole road: upload, isolation, runtime, media types, gateway; then the model is removed."""
    with ServerProcess(tmp_path / "data", "--plugins", "onnx") as server:
        token = (server.data_dir / "admin-token").read_text().strip()
        with (
            httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=60) as client,
            ThreadPoolExecutor(CLIENTS) as pool,
        ):
            said = pool.map(partial(over_http, server, client), sweep.run)
            wrong = {case.name: text for case, text in zip(sweep.run, said, strict=True) if text}

    assert set(wrong) == set(REFUSED | REFUSED_OVER_HTTP), wrong
