"""The environment variables of a replica, set before anything is imported there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prism_core.isolation.sandbox import Level
from prism_core.threads import numeric_variables

# What a replica that is shut in gets to know of the server's environment: any other variable may be
# a password of something else, and a model can put what it reads into its answers.
KNOWN = {"PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TERM", "LD_LIBRARY_PATH"}
KNOWN_PREFIXES = (
    *("LC_", "PYTHON", "MALLOC_", "GLIBC_", "OMP_", "OPENBLAS_", "MKL_", "KMP_", "GOMP_", "BLIS_"),
    *("NUMEXPR_", "VECLIB_", "CUDA_", "NVIDIA_", "HIP_", "ROCR_", "ORT_", "LOKY_", "JOBLIB_", "SKLEARN_"),
)


# What leads an interpreter to modules and libraries of the server's own, which another one must not mix
# with its own. LD_LIBRARY_PATH stays: it may be what an interpreter finds its own libpython by.
OWN = {"PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "PYTHONPLATLIBDIR", "PYTHONEXECUTABLE"}
OWN |= {"PYTHONPYCACHEPREFIX", "PYTHONSTARTUP", "__PYVENV_LAUNCHER__", "VIRTUAL_ENV", "CONDA_PREFIX"}


def replica_variables(
    inherited: Mapping[str, str],
    threads: int,
    level: Level = Level.OFF,
    more: Iterable[str] = (),
    *,
    other: bool = False,
) -> dict[str, str]:
    """Return the variables of a replica that may use ``threads`` threads.

    The gateway's own settings (``PRISM_*``) are not passed on: they may hold secrets. A
    replica that is shut in is given those that are known to be harmless, and ``more``. One of
    an ``other`` interpreter is not told where the server's modules are.
    """
    kept = {name: value for name, value in inherited.items() if not name.startswith("PRISM_")}
    if other:
        kept = {name: value for name, value in kept.items() if name not in OWN}
    if level is not Level.OFF:
        named = KNOWN | set(more)
        kept = {
            name: value for name, value in kept.items() if name in named or name.startswith(KNOWN_PREFIXES)
        }
    return kept | numeric_variables(threads)
