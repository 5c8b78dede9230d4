"""The environment variables of a replica, set before anything is imported there."""

from __future__ import annotations

from collections.abc import Mapping

# Read once, when the library is loaded: later is too late.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "LOKY_MAX_CPU_COUNT",
)

# onnxruntime 1.31 starts a telemetry thread when it is imported, keeps a device id in ~/.cache
# and reports to its vendor. A local server does not, and without the thread it can be warmed
# in a zygote: 5 ms to a ready session instead of 200.
QUIET = {"ORT_DISABLE_TELEMETRY": "1"}


def replica_variables(inherited: Mapping[str, str], threads: int) -> dict[str, str]:
    """Return the variables of a replica that may use ``threads`` threads.

    The gateway's own settings (``PRISM_*``) are not passed on: they may hold secrets.
    """
    kept = {name: value for name, value in inherited.items() if not name.startswith("PRISM_")}
    return kept | QUIET | dict.fromkeys(THREAD_VARIABLES, str(threads))
