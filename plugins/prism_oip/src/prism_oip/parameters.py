"""Which parameters are the protocol's own: a model sees none of them.

Of a request's parameters what is left goes to the model, as that of a native request does; those of
a single tensor are never the model's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prism_core.plugin import MalformedBody

# Triton's, by its extensions for binary data, sequences, scheduling and forwarded headers; and those
# with which MLServer and its clients tell how a value is to be decoded.
KNOWN = frozenset(
    {
        "binary_data",
        "binary_data_output",
        "binary_data_size",
        "content_type",
        "headers",
        "priority",
        "sequence_end",
        "sequence_id",
        "sequence_start",
        "timeout",
    }
)
# Triton reserves all of them; they speak of its streams.
PREFIX = "triton_"

# Extensions that this server does not list: to ignore one would be to answer something else.
REFUSED = {
    "classification": "Classes by probability are not computed here",
    "shared_memory_byte_size": "Shared memory is not read here",
    "shared_memory_offset": "Shared memory is not read here",
    "shared_memory_region": "Shared memory is not read here",
}


def of_model(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of a request's parameters that the model is given."""
    check(parameters)
    return {key: one for key, one in parameters.items() if key not in KNOWN and not key.startswith(PREFIX)}


def check(parameters: Mapping[str, Any], whose: str = "The request") -> None:
    """Refuse parameters that ask for an extension which is not there.

    Raises
    ------
    MalformedBody
        Naming it.
    """
    if refused := parameters.keys() & REFUSED.keys():
        name = min(refused)
        raise MalformedBody(
            f"{whose} has the parameter {name!r}. {REFUSED[name]}.",
            hint="GET /v2 lists the extensions of this server.",
        )
