"""What a request asks for beside its inputs: outputs, and in which form they are answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from prism_core.plugin import MalformedBody, quote
from prism_oip.parameters import check


class Output(msgspec.Struct, frozen=True):
    """An output that is asked for."""

    name: str
    parameters: Mapping[str, Any] | None = None


class Asked(NamedTuple):
    """Outputs by name, whether all of them are to be raw, and whether single ones are; None: not said."""

    outputs: tuple[str, ...]
    raw: bool | None
    raw_of: Mapping[str, bool]


def asked(outputs: Sequence[Output] | None, parameters: Mapping[str, Any] | None) -> Asked:
    """Return what is asked for by outputs and by the request's parameters.

    Raises
    ------
    MalformedBody
        If it cannot be.
    """
    raw = _flag(parameters, "binary_data_output", "The request")
    if not outputs:
        return Asked((), raw, {})
    names = tuple(output.name for output in outputs)
    if len(set(names)) < len(names):
        raise MalformedBody(f"An output is asked for twice, of {len(names)}.")
    own = {output.name: _own(output) for output in outputs}
    return Asked(names, raw, {name: one for name, one in own.items() if one is not None})


def _own(output: Output) -> bool | None:
    if not output.parameters:
        return None
    whose = f"Output {quote(output.name)}"
    check(output.parameters, whose)
    return _flag(output.parameters, "binary_data", whose)


def _flag(said: Mapping[str, Any] | None, name: str, whose: str) -> bool | None:
    value = said.get(name) if said else None
    if value is not None and not isinstance(value, bool):
        raise MalformedBody(f"{whose} has {name!r} {quote(value)}; it is true or false.")
    return value
