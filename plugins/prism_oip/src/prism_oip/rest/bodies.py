"""The small JSON bodies of routes that are no predictions. All of them may be missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from prism_core.plugin import MalformedBody, PayloadTooLarge, UnsupportedInput

# More than any of them has; a configuration that comes with a load would be refused anyway.
MAX_BYTES = 1024 * 1024

Body = TypeVar("Body", bound=msgspec.Struct)


class IndexRequest(msgspec.Struct):
    """What of the repository is wanted."""

    ready: bool | None = False


class ControlRequest(msgspec.Struct):
    """How a model is to be loaded, or unloaded."""

    parameters: dict[str, Any] | None = None


async def received(scope: Mapping[str, Any], receive: Any) -> bytes | None:
    """Return the body of a request, None if its sender went away before all of it was there.

    Raises
    ------
    PayloadTooLarge
        If it is larger than any of these bodies.
    UnsupportedInput
        If it is packed.
    """
    headers = dict(scope["headers"])
    if headers.get(b"content-encoding", b"identity").strip().lower() not in (b"", b"identity"):
        raise UnsupportedInput("Packed bodies are read by predictions only.", hint="Send it as it is.")
    parts: list[bytes] = []
    size = int(headers.get(b"content-length", 0))
    more = True
    while more:
        if size > MAX_BYTES:
            raise PayloadTooLarge(f"The body is larger than {MAX_BYTES} bytes.")
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        size = max(size, sum(map(len, parts)))
        more = message.get("more_body", False)
    return b"".join(parts)


def parsed(body: bytes, kind: type[Body]) -> Body:
    """Return what a body says; an empty one says nothing.

    Raises
    ------
    MalformedBody
        If it is not what the route takes.
    """
    if not body.strip():
        return kind()
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise MalformedBody(f"The body does not fit this route: {error}.") from None


def check_load(parameters: Mapping[str, Any]) -> None:
    """Refuse to load a model in another way than it was uploaded.

    Raises
    ------
    MalformedBody
        If there are parameters.
    """
    for name in parameters:
        if name == "config" or name.startswith("file:"):
            raise MalformedBody(
                f"A model cannot be loaded with another {'configuration' if name == 'config' else 'file'} "
                f"({name[:80]!r}): a version never changes.",
                hint="Upload a new version: `prism upload`. Without parameters this one is loaded.",
            )
        raise MalformedBody(f"There is no parameter {name[:80]!r} of a load.", hint="Send none.")


def check_unload(parameters: Mapping[str, Any]) -> None:
    """Check what comes with an unload; no model depends on another, so there is nothing to do for any of it.

    Raises
    ------
    MalformedBody
        If there is another parameter than ``unload_dependents``, or that is not true or false.
    """
    for name, value in parameters.items():
        if name != "unload_dependents":
            raise MalformedBody(
                f"There is no parameter {name[:80]!r} of an unload.", hint="There is `unload_dependents`."
            )
        if not isinstance(value, bool):
            raise MalformedBody("`unload_dependents` is true or false.")
