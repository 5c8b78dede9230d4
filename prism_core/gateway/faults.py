"""What the sender of a request is told of a fault, and what only the log is."""

from __future__ import annotations

import uuid

import structlog

from prism_core.errors import InternalError, PrismError

log = structlog.get_logger(__name__)


def told_of_fault(error: Exception) -> PrismError:
    """Return ``error`` as its sender may see it, `identified`."""
    return identified(error if isinstance(error, PrismError) else internal_error(), error)


def identified(told: PrismError, cause: Exception) -> PrismError:
    """Return ``told``; where its status is 500, its cause is logged and the entry's id in its details."""
    if told.status == 500:
        told.details["error_id"] = noted(told, cause)
    return told


def internal_error() -> PrismError:
    """Return what stands for a fault of ours."""
    return InternalError(
        "The server failed on this request.", hint="Its log holds the reason under the error_id."
    )


def noted(told: PrismError, cause: Exception) -> str:
    """Log what really happened, which ``told`` may only stand for; return the entry's id."""
    # One that a replica or a step of an upload has logged already has its id.
    error_id = str(told.details.get("error_id") or uuid.uuid4().hex[:12])
    unexpected = not isinstance(cause, PrismError)
    log.error(
        "rest.failed",
        error_id=error_id,
        code=told.code,
        reason=told.message if not unexpected else repr(cause),
        exc_info=cause if unexpected else None,
    )
    return error_id
