"""How many threads numeric libraries use, told to them by environment variables. Pure."""

from __future__ import annotations

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


def numeric_variables(threads: int) -> dict[str, str]:
    """Return the environment variables of a replica whose libraries may use ``threads`` threads."""
    return QUIET | dict.fromkeys(THREAD_VARIABLES, str(threads))
