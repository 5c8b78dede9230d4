"""Predictions: every element type, only what is asked for, and classifiers as people know them."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from prism_core.plugin import Artifact, ArtifactError, Batch, InvalidInput, ModelLoadFailed, datatype_of
from prism_onnx import OnnxOptions, prism_loaders
from prism_onnx.model import load


def tensor(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


DTYPES = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
DTYPES += ["float16", "float32", "float64", "object"]


def identity(kind):
    return (
        [helper.make_node("Identity", ["x"], ["y"])],
        [tensor("x", ["N"], kind)],
        [tensor("y", ["N"], kind)],
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_type_of_numpy_passes_unchanged(serve, dtype):
    kind = TensorProto.STRING if dtype == "object" else helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    values = np.array(["", "ä", "b"], dtype=object) if dtype == "object" else np.array([0, 1, 1], dtype)

    model = serve(*identity(kind))
    answer = model.predict(Batch({"x": values}))["y"]

    assert model.signature.inputs[0].datatype == datatype_of(values.dtype)
    assert model.signature.batch_axis
    assert answer.dtype == values.dtype
    assert answer.tolist() == values.tolist()


def cast(source, target):
    return (
        [helper.make_node("Cast", ["x"], ["y"], to=target)],
        [tensor("x", [None], source)],
        [tensor("y", [None], target)],
    )


@pytest.mark.parametrize(
    ("kind", "datatype", "values"),
    [
        (TensorProto.BFLOAT16, "FP32", [1.0, -2.5, 3.0e38, 0.0]),
        (TensorProto.INT4, "INT8", [-8, 7, 0, -1, 3]),
        (TensorProto.UINT4, "UINT8", [0, 15, 8]),
        (TensorProto.FLOAT8E4M3FN, "UINT8", [0x38, 0x40, 0xB8]),
    ],
    ids=["bfloat16", "int4", "uint4", "float8"],
)
def test_types_that_numpy_lacks_are_served_as_wider_ones(serve, kind, datatype, values):
    there = serve(*cast(TensorProto.FLOAT, kind), opset=21)
    back = serve(*cast(kind, TensorProto.FLOAT), opset=21)
    sent = np.array(values, back.signature.inputs[0].dtype)

    floats = back.predict(Batch({"x": sent}))["y"]
    answer = there.predict(Batch({"x": floats}))["y"]

    assert back.signature.inputs[0].datatype == there.signature.outputs[0].datatype == datatype
    assert np.allclose(answer, sent, rtol=2**-8)
    if datatype == "INT8" or kind == TensorProto.UINT4:
        assert floats.tolist() == values


def test_a_number_that_does_not_fit_four_bits_is_refused(serve):
    model = serve(*cast(TensorProto.INT4, TensorProto.FLOAT), opset=21)

    with pytest.raises(InvalidInput, match="from -8 to 7; the input goes from 1 to 9"):
        model.predict(Batch({"x": np.array([1, 9], np.int8)}))


def test_only_the_asked_for_outputs_are_computed(serve):
    model = serve(
        [helper.make_node("Split", ["x"], ["a", "b"], axis=1, num_outputs=2)],
        [tensor("x", ["N", 4])],
        [tensor("a", ["N", 2]), tensor("b", ["N", 2])],
        opset=18,
    )
    x = np.arange(4, dtype=np.float32)[None]

    assert list(model.predict(Batch({"x": x})).tensors) == ["a", "b"]
    assert {k: v.tolist() for k, v in model.predict(Batch({"x": x}, outputs=("b",))).tensors.items()} == {
        "b": [[2, 3]]
    }


def test_several_inputs_go_by_name(serve):
    x, z = tensor("x", ["N", 2]), tensor("z", ["N", 2])
    model = serve([helper.make_node("Sub", ["x", "z"], ["y"])], [x, z], [tensor("y", ["N", 2])])
    ones = np.ones((1, 2), np.float32)

    assert model.predict(Batch({"z": ones, "x": 3 * ones}))["y"].tolist() == [[2, 2]]


def test_a_sequence_of_tensors_is_answered_as_a_list(serve):
    model = serve(
        [helper.make_node("SplitToSequence", ["x"], ["y"])],
        [tensor("x", [2, 1])],
        [helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)],
    )

    answer = model.predict(Batch({"x": np.array([[1], [2]], np.float32)}))["y"]
    assert [one.tolist() for one in answer] == [[[1]], [[2]]]


def test_a_sequence_is_sent_as_a_tensor_of_its_elements(serve):
    sequence = helper.make_tensor_sequence_value_info("x", TensorProto.FLOAT, [2])
    model = serve(
        [helper.make_node("ConcatFromSequence", ["x"], ["y"], axis=0)], [sequence], [tensor("y", [None])]
    )

    assert model.signature.inputs[0].shape == (-1, 2)
    answer = model.predict(Batch({"x": np.array([[1, 2], [3, 4]], np.float32)}))["y"]
    assert answer.tolist() == [1, 2, 3, 4]


def test_an_input_of_unknown_rank_cannot_be_described(serve):
    x, y = tensor("x", None), tensor("y", None)

    with pytest.raises(ArtifactError, match="'x' declares no shape"):
        serve([helper.make_node("Identity", ["x"], ["y"])], [x], [y])


def test_a_type_that_onnxruntime_lacks_is_named(serve):
    x, y = (tensor(name, [1], TensorProto.COMPLEX64) for name in "xy")

    with pytest.raises(ModelLoadFailed, match=r"no values of type tensor\(complex64\)"):
        serve([helper.make_node("Identity", ["x"], ["y"])], [x], [y])


def test_a_sequence_may_be_of_scalars(serve):
    sequence = helper.make_tensor_sequence_value_info("x", TensorProto.FLOAT, [])
    model = serve(
        [helper.make_node("SequenceLength", ["x"], ["y"])], [sequence], [tensor("y", [], TensorProto.INT64)]
    )

    assert model.predict(Batch({"x": np.array([1, 2, 3], np.float32)}))["y"] == 3


@pytest.mark.parametrize("level", ["disable", "basic", "extended", "all"])
def test_each_optimization_level_answers_alike(doubling, level):
    model = load(doubling, OnnxOptions(optimization=level, threads=2))

    assert model.predict(Batch({"x": np.ones((1, 4), np.float32)}))["y"].tolist() == [[2] * 4]


@pytest.mark.parametrize(("threads", "limit", "expected"), [(0, None, 1), (0, "3", 3), (2, "3", 2)])
def test_threads_are_the_replicas_unless_set(monkeypatch, threads, limit, expected):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if limit:
        monkeypatch.setenv("OMP_NUM_THREADS", limit)

    assert OnnxOptions(threads=threads).intra_op_threads == expected


def test_importing_the_plugin_imports_no_framework():
    """And onnxruntime, when it comes, starts neither telemetry nor the thread of it."""
    program = (
        "import sys, os, prism_onnx\n"
        "assert not {'onnx', 'onnxruntime', 'google.protobuf', 'sklearn'} & set(sys.modules)\n"
        "import onnxruntime, prism_onnx.warm\n"
        "tasks = '/proc/self/task'\n"
        "print(len(os.listdir(tasks)) if os.path.isdir(tasks) else 1)"
    )
    environment = {"OPENBLAS_NUM_THREADS": "1", "PATH": "/nowhere"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)

    assert (done.stdout.strip(), done.stderr) == ("1", "")


def test_the_loader_is_described_without_opening_anything():
    (loader,) = prism_loaders()

    assert (loader.name, loader.suffixes, loader.requires[0]) == ("onnx", (".onnx",), "onnxruntime")


def test_a_model_is_loaded_and_used_after_a_fork(doubling):
    """The zygote imports and warms onnxruntime and forks; the model's session is the child's."""
    program = (
        "import os, sys, numpy as np, prism_onnx, prism_onnx.warm\n"
        "from pathlib import Path\n"
        "from prism_core.plugin import Artifact, Batch\n"
        "from prism_onnx.model import load\n"
        "if os.fork() == 0:\n"
        "    model = load(Artifact(Path(sys.argv[1]), 'model.onnx'), prism_onnx.OnnxOptions(threads=2))\n"
        "    print(model.predict(Batch({'x': np.ones((1, 4), np.float32)}))['y'].sum(), flush=True)\n"
        "    os._exit(0)\n"
        "os.wait()"
    )
    command = [sys.executable, "-W", "error", "-c", program, str(doubling.path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)

    assert (done.stdout.strip(), done.stderr) == ("8.0", "")


def zipmap(labels, kind):
    """Return the end of a converted classifier: labels, and a map for each row."""
    name = "classlabels_strings" if kind == TensorProto.STRING else "classlabels_int64s"
    maps = helper.make_sequence_type_proto(
        helper.make_map_type_proto(kind, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    )
    return (
        [
            helper.make_node("ArgMax", ["x"], ["output_label"], axis=1, keepdims=0),
            helper.make_node("ZipMap", ["x"], ["output_probability"], domain="ai.onnx.ml", **{name: labels}),
        ],
        [tensor("x", [None, len(labels)])],
        [
            tensor("output_label", [None], TensorProto.INT64),
            helper.make_value_info("output_probability", maps),
        ],
    )


@pytest.mark.parametrize(
    ("labels", "kind"), [(["no", "maybe", "a"], TensorProto.STRING), ([5, -3, 8], TensorProto.INT64)]
)
def test_maps_of_a_classifier_become_a_matrix(serve, labels, kind):
    model = serve(*zipmap(labels, kind), domains=("ai.onnx.ml",))
    x = np.array([[0.1, 0.2, 0.7], [0.5, 0.25, 0.25]], np.float32)

    answer = model.predict(Batch({"x": x}, outputs=("output_label", "output_probability")))

    assert model.signature.batch_axis
    assert model.signature.classes == tuple(labels)
    assert model.signature.predictions == "output_label"
    assert model.signature.computed == ("output_label",)
    assert answer["output_label"].tolist() == [2, 0]
    assert np.array_equal(answer["output_probability"], x)
    assert answer["output_probability"].dtype == np.float32


@pytest.mark.parametrize("zipmap", [True, False])
@pytest.mark.parametrize("strings", [True, False])
def test_a_converted_digits_classifier_answers_as_the_original(tmp_path, zipmap, strings):
    datasets = pytest.importorskip("sklearn.datasets")
    linear = pytest.importorskip("sklearn.linear_model")
    skl2onnx = pytest.importorskip("skl2onnx")
    x, y = datasets.load_digits(return_X_y=True)
    x, y = x.astype(np.float32) / 16, y.astype(str) if strings else y
    original = linear.LogisticRegression().fit(x[:500], y[:500])
    converted = skl2onnx.to_onnx(original, x[:1], options={"zipmap": zipmap})
    path = tmp_path / "digits.onnx"
    onnx.save(converted, path)

    model = load(Artifact(path, "digits.onnx"), OnnxOptions())
    label, probability = (spec.name for spec in model.signature.outputs)
    answer = model.predict(Batch({model.signature.inputs[0].name: x[500:520]}, outputs=(label, probability)))

    assert model.signature.classes == tuple(original.classes_.tolist())
    assert answer[label].tolist() == original.predict(x[500:520]).tolist()
    assert np.allclose(answer[probability], original.predict_proba(x[500:520]), atol=1e-5)
