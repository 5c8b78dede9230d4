"""Say what onnxruntime means: its errors name source lines and paths, ours name the next step."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from prism_core.plugin import ArtifactError, InvalidInput, ModelLoadFailed, PrismError

_MAX_CHARACTERS = 300
_STATUS = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")
# "/src/graph/model.cc:256 onnxruntime::Model::Model(onnx::ModelProto&&, ...) const [with T = int] "
_SOURCE_LINE = re.compile(
    r"\S+\.(?:h|cc|cpp|cu):\d+ "
    r"(?:[^()\n]*::[^()\n]*\((?:[^()]|\([^()]*\))*\)(?: const)?(?: \[with [^\]]*\])? |\w+ )?"
)
_PATH = re.compile(r"(?<![\w.])(?:[A-Za-z]:)?(?:[/\\][\w.\-@+]+){2,}")
_NODE = re.compile(r"Non-zero status code returned while running (\w+) node\. Name:'[^']*' Status Message: ")

_Rule = tuple[re.Pattern[str], Callable[[re.Match[str]], PrismError]]


def _domain(name: str) -> str:
    return name or "ai.onnx"


def _too_new(match: re.Match[str]) -> PrismError:
    opset, domain, supported = match.groups()
    return ModelLoadFailed(
        f"The model needs opset {opset} of {_domain(domain)}; "
        f"the installed onnxruntime supports it up to {supported}.",
        hint=f"Convert it again with target_opset={supported} or lower, or install a newer onnxruntime.",
    )


def _ir_too_new(match: re.Match[str]) -> PrismError:
    version, supported = match.groups()
    return ModelLoadFailed(
        f"The model has IR version {version}; the installed onnxruntime reads up to {supported}.",
        hint=f"Set `model.ir_version = {supported}` and save it again, or install a newer onnxruntime.",
    )


def _no_operator(match: re.Match[str]) -> PrismError:
    name, opset = match.groups()
    return ModelLoadFailed(
        f"The model uses the operator {name!r}, which opset {opset} does not have.",
        hint="Is it spelled right, and is the model's opset the one that it was made for?",
    )


def _custom_operator(match: re.Match[str]) -> PrismError:
    return ModelLoadFailed(
        f"The model uses the custom operator {match[1]!r}, which onnxruntime does not have.",
        hint="Convert the model with standard operators only; custom operator libraries are not loaded.",
    )


def _no_kernel(match: re.Match[str]) -> PrismError:
    name, opset = match.groups()
    return ModelLoadFailed(
        f"onnxruntime cannot compute the operator {name!r} (opset {opset}) "
        "for these types on the chosen providers.",
        hint="Try another opset or data type (float32 is covered best), or another execution provider.",
    )


def _no_type(match: re.Match[str]) -> PrismError:
    return ModelLoadFailed(
        f"onnxruntime has no values of type {match[1]}, which the model takes or answers.",
        hint="Convert the model so that its inputs and outputs are tensors of numbers or strings.",
    )


def _damaged(match: re.Match[str]) -> PrismError:
    return ArtifactError("The file is not a whole ONNX model.", hint="Was it copied completely?")


def _external_data(match: re.Match[str]) -> PrismError:
    return ArtifactError(
        f"The external data of tensor {match[1]!r} is missing, or shorter than the model says.",
        hint="Upload the whole directory: the .onnx file and every data file that was saved with it.",
    )


_RULES: tuple[_Rule, ...] = (
    (
        re.compile(r"Opset (\d+) is under development.*support for domain (\S*) is till opset (\d+)", re.S),
        _too_new,
    ),
    (re.compile(r"IR version: (\d+), max supported IR version: (\d+)"), _ir_too_new),
    (re.compile(r"No Op registered for (\S+) with domain_version of (\d+)"), _no_operator),
    (re.compile(r"Fatal error: (\S+?)(?:\(-?\d+\))? is not a registered function/op"), _custom_operator),
    (
        re.compile(r"(?:Could not find an implementation|Failed to find kernel) for (\S+)\((\d+)\)"),
        _no_kernel,
    ),
    (re.compile(r"MLDataType for: (\S+) is not currently registered"), _no_type),
    (re.compile(r"Protobuf parsing failed|No graph was found"), _damaged),
    (re.compile(r"External (?:data path.*?|)initializer: (\S+?)\.? "), _external_data),
)


def not_loaded(error: Exception, path: Path) -> PrismError:
    """Return what the failure to load the model at ``path`` means to its owner."""
    text = str(error)
    for pattern, explain in _RULES:
        match = pattern.search(text)
        if match:
            return explain(match)
    text = text.replace(str(path.parent), "").replace(path.name, "the model")
    text = re.sub(r"Load model from .*? failed: ?", "", text)
    return ModelLoadFailed(
        f"onnxruntime refused the model: {useful(text)}",
        hint="`onnx.checker.check_model` may say more.",
    )


def not_computed(error: Exception) -> InvalidInput:
    """Return what an input that the graph refuses means to its sender."""
    text = str(error)
    node = _NODE.search(text)
    where = f" in the operator {node[1]}" if node else ""
    return InvalidInput(
        f"The model refuses this input{where}: {useful(_NODE.sub('', text))}",
        hint="The model's page shows its inputs; values outside of what it was made for fail like this too.",
    )


def useful(text: str) -> str:
    """Return onnxruntime's ``text`` without status, source lines, paths and line breaks."""
    text = _STATUS.sub("", text)
    text = _SOURCE_LINE.sub("", text)
    text = " ".join(_PATH.sub("(path)", text).split())
    return text if len(text) <= _MAX_CHARACTERS else f"{text[: _MAX_CHARACTERS - 3]}..."
