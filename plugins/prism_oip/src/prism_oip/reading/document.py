"""The JSON of a request: what it says, and where its values lie, which are decoded by their datatypes."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from prism_core.plugin import Limits, MalformedBody
from prism_oip.reading.asked import Output

HINT = 'It holds "inputs": [{"name": ..., "shape": [...], "datatype": ..., "data": [...]}].'


class Tensor(msgspec.Struct, frozen=True):
    """An input. ``data`` is JSON that has not been looked into."""

    name: str
    shape: list[int]
    datatype: str
    data: msgspec.Raw | UnsetType = UNSET
    parameters: dict[str, Any] | None = None


class Document(msgspec.Struct, frozen=True):
    """A request. What else stands in it means nothing here, nor with other servers."""

    inputs: list[Tensor]
    id: str | None = None
    outputs: list[Output] | None = None
    parameters: dict[str, Any] | None = None


_decode = msgspec.json.Decoder(Document).decode


def read(body: memoryview, limits: Limits) -> Document:
    """Return what ``body`` says.

    Raises
    ------
    MalformedBody
        If it is not JSON, or not of this form.
    """
    try:
        return _decode(body)
    except msgspec.ValidationError as error:
        raise MalformedBody(f"The request is not of the protocol: {error}.", hint=HINT) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise no_json("The request", error) from None
    except RecursionError:
        raise limits.too_deep() from None


def no_json(what: str, error: Exception) -> MalformedBody:
    """Return the error of something that is no JSON."""
    return MalformedBody(
        f"{what} is not JSON: {error}.",
        hint="NaN and Infinity are not JSON (send null, or raw tensors), text must be UTF-8. Raw tensors "
        "behind the JSON need its length as Inference-Header-Content-Length.",
    )
