"""Predictions: the serialized request goes to the runtime, and its serialized answer back.

Nothing here looks at a tensor: `scan` finds whom a request is for.
"""

from __future__ import annotations

from prism_core.plugin import Predicted, reference_to
from prism_oip.media import GRPC
from prism_oip.rpc.calls import Call
from prism_oip.rpc.scan import scan


async def infer(call: Call, body: bytes) -> tuple[bytes, Predicted]:
    """Answer a ``ModelInferRequest``."""
    name, version, _ = scan(body)
    return await predicted(call, reference_to(name, version), body)


async def predicted(call: Call, reference: str, body: bytes) -> tuple[bytes, Predicted]:
    """Return the answer of a model, or of an alias or a version of it; whoever is cancelled asks no more."""
    admitted = call.enter(reference, "predict", len(body))
    answer = await call.host.predict(
        reference,
        body,
        media_type=GRPC,
        accept=GRPC,
        timeout_s=call.timeout_s(),
        request=call.request,
        no_store=call.no_store(),
        headers=call.headers,
        client=call.client,
        admitted=admitted,
    )
    return bytes(answer.body), answer
