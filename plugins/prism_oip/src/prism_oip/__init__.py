"""The Open Inference Protocol V2: REST, binary tensors, gRPC, and a kit that tests any server for it.

The plugin itself: it describes, and imports nothing that it does not describe with.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prism_core.plugin import Command, Dialect, Frontend, Normalizer, hookimpl

__version__ = "0.1.0"


@hookimpl
def prism_dialects() -> Iterator[Dialect]:
    """Offer the routes of predictions."""
    from prism_oip.rest.dialect import DIALECT

    yield DIALECT


@hookimpl
def prism_normalizers() -> Iterator[Normalizer]:
    """Offer the media types in which a runtime gets their bodies."""
    from prism_oip.media import GRPC, REST
    from prism_oip.reading import grpc as grpc_reading
    from prism_oip.reading import rest as rest_reading
    from prism_oip.writing import grpc as grpc_writing
    from prism_oip.writing import rest as rest_writing

    yield Normalizer(
        REST,
        rest_reading.normalize,
        rest_writing.encode,
        normalize_steps=rest_reading.normalize_steps,
        encode_steps=rest_writing.encode_steps,
    )
    yield Normalizer(
        GRPC,
        grpc_reading.normalize,
        grpc_writing.encode,
        normalize_steps=grpc_reading.normalize_steps,
    )


@hookimpl
def prism_frontends() -> Iterator[Frontend]:
    """Offer what speaks the rest of the protocol."""
    from prism_oip.rest.frontends import OWNERS, PUBLIC
    from prism_oip.rpc.frontend import FRONTEND

    yield PUBLIC
    yield OWNERS
    yield FRONTEND


@hookimpl
def prism_commands() -> Iterator[Command]:
    """Offer ``prism conformance``."""
    yield Command("conformance", build=_conformance, help="Check any server for the Open Inference Protocol.")


def _conformance() -> Any:
    from prism_oip.conformance.command import conformance

    return conformance
