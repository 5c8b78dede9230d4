"""What is known about the server and the model that a check asks, and the requests that are made of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import attrs

from prism_oip.conformance.exchange import Blocked, Request, Untried
from prism_oip.conformance.judging import HEADER
from prism_oip.conformance.tensors import Spec, Tensor


@attrs.frozen
class Model:
    """A model, as its metadata tells it; ``versions`` may be none."""

    name: str
    versions: tuple[str, ...] = ()
    inputs: tuple[Spec, ...] = ()
    outputs: tuple[Spec, ...] = ()


@attrs.frozen(eq=False)
class Subject:
    """What a check is given.

    Parameters
    ----------
    extensions
        What the server advertises, or is said to have.
    models
        The names of all models that will be asked.
    model
        The model that is asked now.
    inputs
        A request that it takes. With a ``reason`` it is one that it did not take, or none.
    outputs
        What it answered.
    steady
        Whether it answered the same twice.
    write
        Whether models may be loaded and unloaded.
    """

    extensions: frozenset[str] = frozenset()
    models: tuple[str, ...] = ()
    model: Model = Model("")
    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()
    steady: bool = True
    reason: str = ""
    write: bool = False

    def asked(self) -> tuple[Tensor, ...]:
        """Return a request that the model takes.

        Raises
        ------
        Blocked
            If none is known.
        """
        if self.reason or not self.inputs:
            raise Blocked(self.reason or "no request is known that the model takes")
        return self.inputs

    def answered(self) -> tuple[Tensor, ...]:
        """Return what the model answers to `asked`, if it always does.

        Raises
        ------
        Untried
            If nothing is known to compare with.
        """
        self.asked()
        if not self.steady:
            raise Untried("the model answers equal inputs differently, so answers cannot be compared")
        if not self.outputs:
            raise Untried("there is no answer to compare with")
        return self.outputs

    def version(self) -> str:
        """Return a version that may be asked for.

        Raises
        ------
        Untried
            If the model tells none.
        """
        if not self.model.versions:
            raise Untried("the model's metadata tells no versions")
        return self.model.versions[-1]


def model_path(subject: Subject, *, version: str = "", verb: str = "") -> str:
    """Return the path of the model, of a version, and of what is asked of it."""
    middle = f"/versions/{quote(version, '')}" if version else ""
    return f"v2/models/{quote(subject.model.name, '')}{middle}" + (f"/{verb}" if verb else "")


def get(path: str) -> Request:
    """Return a GET."""
    return Request("GET", path)


def post(path: str, value: Any = None, headers: Mapping[str, str] | None = None) -> Request:
    """Return a POST of JSON, or of bytes as they are."""
    body = value if isinstance(value, bytes) else json.dumps({} if value is None else value).encode()
    return Request("POST", path, {"Content-Type": "application/json", **(headers or {})}, body)


def told(tensor: Tensor, *, nested: bool = False, **more: Any) -> dict[str, Any]:
    """Return an input with its data, as JSON has it; ``more`` replaces fields."""
    head = {"name": tensor.name, "shape": list(tensor.shape), "datatype": tensor.datatype}
    return {**head, "data": tensor.listed(nested=nested), **more}


def asking(inputs: Sequence[Tensor], **more: Any) -> dict[str, Any]:
    """Return a request for inference in JSON, ``$inference_request``."""
    return {"inputs": [told(one) for one in inputs], **more}


def infer(subject: Subject, value: Any, *, version: str = "") -> Request:
    """Return a POST to the model's inference."""
    return post(model_path(subject, version=version, verb="infer"), value)


def packed(head: Mapping[str, Any], tail: bytes, **headers: str) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of a request whose tensors follow its JSON; ``length`` may lie."""
    text = json.dumps(head).encode()
    length = headers.get("length", str(len(text)))
    return text + tail, {"Content-Type": "application/octet-stream", HEADER: length}


def binary(subject: Subject, head: Mapping[str, Any], tail: bytes = b"", **headers: str) -> Request:
    """Return a POST to the model's inference with raw tensors behind the JSON."""
    body, lines = packed(head, tail, **headers)
    return post(model_path(subject, verb="infer"), body, lines)


def in_bytes(tensor: Tensor, size: int | None = None) -> dict[str, Any]:
    """Return an input whose data follows the JSON; ``size`` may lie."""
    counted = len(tensor.raw()) if size is None else size
    head = {"name": tensor.name, "shape": list(tensor.shape), "datatype": tensor.datatype}
    return {**head, "parameters": {"binary_data_size": counted}}
