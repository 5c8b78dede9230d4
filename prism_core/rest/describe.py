"""What a model page says: facts from the registry, an example request made from the signature.

Everything here is for the public: no path, no option, no process and no error text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from prism_core.gateway.views import ModelInfo, VersionInfo
from prism_core.rest import snippets
from prism_core.rest.snippets import Sample
from prism_core.types import Signature, TensorSpec

# An example of more numbers than this cannot be read or pasted; a file is named instead.
MAX_EXAMPLE_VALUES = 256

_SAMPLES: dict[str, Any] = {"BOOL": False, "FP16": 0.0, "FP32": 0.0, "FP64": 0.0, "BYTES": "text"}


def describe(
    model: ModelInfo, version: VersionInfo, url: str, *, keyed: bool = False, members: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the public description of ``version``, which predicts at ``url``; ``keyed``: it takes a key.

    ``members`` are the versions that answer together where it is an ensemble.
    """
    signature = signature_of(version)
    return {
        "name": model.model,
        "version": version.version,
        "state": version.state,
        "ready": version.state == "READY",
        "loader": version.loader,
        "created": version.created,
        "description": version.description,
        "aliases": model.aliases,
        "versions": [{"version": v.version, "state": v.state, "created": v.created} for v in model.versions],
        "url": url,
        "members": list(members),
        "signature": version.signature,
        "example": example(signature) if signature else None,
        "curl": curl(signature, url, keyed=keyed) if signature else None,
    }


def metadata(model: ModelInfo, version: VersionInfo) -> dict[str, Any]:
    """Return the model's metadata in the words of the Open Inference Protocol."""
    signature = signature_of(version)
    return {
        "name": model.model,
        "version": version.version,
        "versions": [str(v.version) for v in model.versions],
        "platform": version.loader,
        "inputs": [_tensor(spec) for spec in signature.inputs] if signature else [],
        "outputs": [_tensor(spec) for spec in signature.outputs] if signature else [],
        "classes": list(signature.classes) if signature else [],
        "aliases": model.aliases,
        "state": version.state,
    }


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)}


def status(model: ModelInfo) -> dict[str, Any]:
    """Return which versions of a model answer."""
    return {
        "name": model.model,
        "ready": any(v.state == "READY" for v in model.versions),
        "aliases": model.aliases,
        "versions": [{"version": v.version, "state": v.state} for v in model.versions],
    }


def signature_of(version: VersionInfo) -> Signature | None:
    """Return the version's signature, None while no replica has reported one."""
    return msgspec.convert(version.signature, Signature) if version.signature else None


def example(signature: Signature) -> dict[str, Any] | None:
    """Return a small JSON body that fits ``signature``, None where it would be too large to read."""
    if sum(_values(spec) for spec in signature.inputs) > MAX_EXAMPLE_VALUES:
        return None
    if signature.columnar:
        return {"input": [{spec.name: _sample(spec) for spec in signature.inputs}]}
    if len(signature.inputs) > 1 or not signature.batch_axis:
        return {"inputs": {spec.name: _nested(spec) for spec in signature.inputs}}
    (spec,) = signature.inputs
    if spec.columns:
        return {"input": [{name: _sample(spec, place) for place, name in enumerate(spec.columns)}]}
    return {"input": _nested(spec)}


# Where a key is asked for, the shell has it in this variable, as `prism predict` does.
KEY = "$PRISM_KEY"


def sample(signature: Signature) -> Sample:
    """Return a body that fits ``signature``; where it is large, a file to be put there."""
    body = example(signature)
    return Sample(body=body) if body is not None else Sample(*_file(signature))


def curl(signature: Signature, url: str, *, keyed: bool = False) -> str:
    """Return a command line that works as pasted."""
    return snippets.curl(url, sample(signature), KEY if keyed else "")


def _file(signature: Signature) -> tuple[str, None, str]:
    """Return the media type and the name of a file that fits, as `Sample` takes them."""
    if signature.columnar or any(spec.columns for spec in signature.inputs):
        return "text/csv", None, "rows.csv"
    if len(signature.inputs) > 1:
        return snippets.JSON, None, "inputs.json"
    image = is_image(signature.inputs[0])
    return ("image/png", None, "image.png") if image else ("application/x-npy", None, "rows.npy")


def is_image(spec: TensorSpec) -> bool:
    """Return whether a tensor looks like pictures: rows, two sides, and 1, 3 or 4 channels first or last."""
    return len(spec.shape) == 4 and bool({1, 3, 4} & {spec.shape[1], spec.shape[-1]})


def _values(spec: TensorSpec) -> int:
    return math.prod(abs(length) for length in spec.shape)


def _sample(spec: TensorSpec, place: int = 0) -> Any:
    """Return a value for ``place`` of the last axis: a known category, else the middle of the known range."""
    if spec.categories:
        return spec.categories[0]
    known = spec.range_of(place)
    return middle(spec, *known) if known else _SAMPLES.get(spec.datatype, 0)


def middle(spec: TensorSpec, low: float, high: float) -> float:
    """Return a short number in the middle between two, whole where the tensor holds whole numbers."""
    value = low / 2 + high / 2
    if spec.dtype.kind != "f":
        return round(value)
    return round(value, max(0, 1 - math.floor(math.log10(high - low)))) + 0.0  # and no minus before zero


def _nested(spec: TensorSpec) -> Any:
    if len(spec.ranges) > 1:
        value: Any = [_sample(spec, place) for place in range(len(spec.ranges))]
        outer = spec.shape[:-1]
    else:
        value, outer = _sample(spec), spec.shape
    for length in reversed(outer):
        value = [value] * abs(length)  # -1 is any length: 1
    return value
