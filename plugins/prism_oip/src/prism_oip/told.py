"""What the protocol's answers say, beside predictions: plain dicts whose keys are fields of ``oip.proto``.

REST sends them as JSON, gRPC as messages of the same names. What PRISM does not measure is zero here, and
docs/reference/oip.md says which that is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from prism_core.plugin import Executions, Served, ServingError, Signature, Statistics, TensorSpec

# The extensions that each listener has, as Triton's documents call them. Binary tensors are one of REST:
# over gRPC raw contents belong to the protocol itself. `model_repository` is all three of its routes.
PUBLIC = ("binary_tensor_data", "model_configuration", "parameters", "statistics")
OWNERS = (
    "model_configuration",
    "model_repository",
    "model_repository(unload_dependents)",
    "statistics",
)
RPC = (*OWNERS, "parameters")

# A version that is about to be started, or is, is loading; one that has stopped or failed is not there.
_STATES = {"READY": "READY", "STORED": "LOADING", "STARTING": "LOADING", "DRAINING": "UNLOADING"}
_UNAVAILABLE = "UNAVAILABLE"

# The parameter of an output that comes only where a request names it.
ON_REQUEST = "on_request"


def server(version: str, extensions: Sequence[str]) -> dict[str, Any]:
    """Return the server's metadata."""
    return {"name": "prism", "version": version, "extensions": list(extensions)}


# --- a model ----------------------------------------------------------------------------


def metadata(found: Served, versions: Iterable[int]) -> dict[str, Any]:
    """Return a version's metadata; ``versions`` are those of its model that may be asked.

    An output that is computed only where a request names it says so in its parameters: a request that
    names none gets all others.

    Raises
    ------
    ServingError
        If its tensors are not known yet.
    """
    signature = _signature(found)
    return {
        "name": found.model,
        "versions": [str(number) for number in sorted(versions)],
        "platform": found.loader,
        "inputs": [_tensor(spec, _shape_of(spec, found)) for spec in signature.inputs],
        "outputs": [
            _tensor(spec, spec.shape)
            | ({} if spec.name in signature.computed else {"parameters": {ON_REQUEST: True}})
            for spec in signature.outputs
        ],
    }


def _signature(found: Served) -> Signature:
    if found.signature is None:
        raise ServingError(
            f"The tensors of {found.model}/{found.version} are not known before it has been ready once.",
            hint=found.reason,
            details={"retry_after_s": 1.0},
        )
    return found.signature


def _tensor(spec: TensorSpec, shape: Sequence[int]) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": list(shape)}


def _shape_of(spec: TensorSpec, found: Served) -> Sequence[int]:
    """Return an input's shape; one of rows alone, such as a column, has an axis of length 1 more.

    It may come with that axis or without. Triton has no input without an axis beside that of rows, and
    perf_analyzer can send none.
    """
    return (*spec.shape, 1) if found.max_batch_rows and len(spec.shape) == 1 else spec.shape


def config(found: Served) -> dict[str, Any]:
    """Return a version's configuration in Triton's form, as far as its clients look at it.

    Where requests may be joined the axis of rows is not among ``dims``, and ``max_batch_size`` is not 0: the
    most rows of one execution. A request may have more, and is computed in several.

    Raises
    ------
    ServingError
        If its tensors are not known yet.
    """
    signature = _signature(found)
    told = {
        "name": found.model,
        "platform": found.loader,
        "backend": found.loader,
        "version_policy": {"all": {}},
        "max_batch_size": found.max_batch_rows,
        "input": [_configured(spec, _shape_of(spec, found), found) for spec in signature.inputs],
        "output": [_configured(spec, spec.shape, found) for spec in signature.outputs],
        "model_transaction_policy": {"decoupled": False},
    }
    if found.cached:  # without it, perf_analyzer ends when all that it asked was answered from the cache
        told["response_cache"] = {"enable": True}
    return told | ({"dynamic_batching": {}} if found.max_batch_rows else {})


def _configured(spec: TensorSpec, shape: Sequence[int], found: Served) -> dict[str, Any]:
    datatype = "STRING" if spec.datatype == "BYTES" else spec.datatype
    dims = shape[1:] if found.max_batch_rows else shape
    return {"name": spec.name, "data_type": f"TYPE_{datatype}", "dims": list(dims)}


def index(served: Iterable[Served], *, ready: bool = False) -> list[dict[str, str]]:
    """Return what there is in the repository, or only what of it is ``ready``."""
    return [_indexed(one) for one in served if one.ready or not ready]


def _indexed(found: Served) -> dict[str, str]:
    return {
        "name": found.model,
        "version": str(found.version),
        "state": _STATES.get(found.state, _UNAVAILABLE),
        "reason": found.reason,
    }


# --- what was asked of models -----------------------------------------------------------


def statistics(found: Iterable[Statistics]) -> dict[str, Any]:
    """Return the statistics of some versions."""
    return {"model_stats": [_counted(one) for one in found]}


def _counted(found: Statistics) -> dict[str, Any]:
    return {
        "name": found.model,
        "version": str(found.version),
        "last_inference": round(found.last * 1000),
        "inference_count": found.rows,
        "execution_count": found.executions,
        "inference_stats": {
            "success": _duration(found.succeeded, found.succeeded_s),
            "fail": _duration(found.failed, found.failed_s),
            "queue": _duration(found.computed, found.queue_s),
            **_computed(found.computed, found.compute_s),
            "cache_hit": _duration(found.hits, found.hits_s),
            "cache_miss": _duration(found.misses, 0.0),
        },
        "batch_stats": [_of_size(rows, some) for rows, some in sorted(found.batches.items())],
    }


def _of_size(rows: int, executions: Executions) -> dict[str, Any]:
    return {"batch_size": rows, **_computed(executions.count, executions.compute_s)}


def _computed(count: int, seconds: float) -> dict[str, Any]:
    """Return the three parts of computing: perf_analyzer ends where their counts differ."""
    told = {"compute_input": _duration(count, 0.0), "compute_infer": _duration(count, seconds)}
    return told | {"compute_output": _duration(count, 0.0)}


def _duration(count: int, seconds: float) -> dict[str, int]:
    return {"count": count, "ns": round(seconds * 1e9)}
