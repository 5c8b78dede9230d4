"""Write what `collect_names.py` found as a module: ``merge_names.py A.json B.json ... > names.py``.

What a person decided on is here: what is left out and why, and what is added to what was seen.
"""

from __future__ import annotations

import json
import re
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from scipy import special
from sklearn import metrics
from sklearn.metrics import _dist_metrics, pairwise
from sklearn.neighbors import _ball_tree, _kd_tree
from sklearn.utils import all_estimators

from prism_sklearn.audit.admitted import canonical
from prism_sklearn.audit.called import CALLED

# Seen in the corpus only because it was put there; a model has none, and each could be called.
LEFT_OUT = {
    "builtins.abs", "builtins.len", "builtins.long", "builtins.round", "builtins.type", "builtins.unicode",
    "builtins.xrange", "fractions.Fraction", "numpy.rec.recarray", "numpy.recarray", "numpy.record",
    "numpy._core._internal._convert_to_stringdtype_kwargs", "pandas.Period", "pandas._libs.tslibs.period.Period",
    "pandas._libs.tslibs.offsets.YearEnd", "uuid.UUID",
}  # fmt: skip
TYPES = (
    "bool bool_ bytes_ complex128 complex64 datetime64 float128 float16 float32 float64 floating generic inexact int16 int32 int64 "
    "int8 int_ integer intc intp longdouble longlong matrix memmap ndarray number object_ signedinteger str_ timedelta64 "
    "uint16 uint32 uint64 uint8 uintc uintp ulonglong unsignedinteger void"
)
FUNCTIONS = (
    "abs amax amin angle argmax argmin argsort around array asarray average clip concatenate cumprod cumsum diff dot fix "
    "imag max mean median min nan_to_num nanmax nanmean nanmedian nanmin nanstd nansum nanvar percentile prod ptp quantile "
    "ravel real reshape round round_ sort squeeze std sum transpose var where"
)
# They call a function that they are given, or start processes.
CALL_OTHERS = [
    "check_scoring",
    "classification_report",
    "distance_metrics",
    "get_scorer",
    "get_scorer_names",
    "kernel_metrics",
    "make_scorer",
    "paired_distances",
    "pairwise_distances",
    "pairwise_distances_argmin",
    "pairwise_distances_argmin_min",
    "pairwise_distances_chunked",
    "pairwise_kernels",
    "PyFuncDistance",
    "PyFuncDistance32",
    "PyFuncDistance64",
]
BUILT_IN = "Ellipsis NotImplemented bool bytes complex dict float frozenset int list object set str tuple"
SPECIAL = (
    "boxcox boxcox1p cbrt erf erfc erfinv exp10 exp2 expit expm1 gammaln inv_boxcox inv_boxcox1p log1p log_expit "
    "log_ndtr logit ndtr ndtri psi xlog1py xlogy"
)


def by_module(paths: set[str]) -> str:
    """Return names below their modules, as source."""
    groups = defaultdict(list)
    for path in sorted(paths):
        module, _, name = path.rpartition(".")
        groups[module].append(name)
    lines = []
    for module, names in groups.items():
        text = " ".join(names)
        lines.append(
            f'    "{module}": "{text}",'
            if len(module) + len(text) < 90
            else f'    "{module}": (\n{_wrapped(names)}    ),'
        )
    return "{\n" + "\n".join(lines) + "\n}"


def _wrapped(names: list[str]) -> str:
    lines, line = [], ""
    for name in names:
        if len(line) + len(name) > 85:
            lines.append(line)
            line = ""
        line += name + " "
    return "".join(f'        "{one}"\n' for one in [*lines, line.rstrip()])


def main() -> None:
    """Print the module."""
    uses: dict[str, set[str]] = defaultdict(set)
    for argument in sys.argv[1:]:
        for path, seen in json.loads(Path(argument).read_text()).items():
            uses[path] |= set(seen)
    known = {
        path for path in uses if path not in LEFT_OUT and path not in CALLED and not path.startswith("_")
    }
    classes = {path for path in known if _is_instantiated(uses[path])} | {
        "joblib._store_backends.FileSystemStoreBackend"
    }
    classes |= {f"{kind.__module__}.{kind.__name__}" for _, kind in all_estimators()}
    ufuncs = {name for name in dir(np) if isinstance(getattr(np, name), np.ufunc)}
    values = {path for path in known - classes if not path.startswith(("numpy.", "builtins."))}
    values |= {path for path in known - classes if path.startswith(("numpy.ma.", "numpy.random."))}
    values |= {f"numpy.{name}" for name in (*TYPES.split(), *FUNCTIONS.split())}
    values |= {f"builtins.{name}" for name in BUILT_IN.split()} - set(CALLED)
    values |= {f"scipy.special.{name}" for name in SPECIAL.split() if hasattr(special, name)}
    values |= {f"scipy.special.{name}" for name in ("logsumexp", "softmax", "log_softmax")}
    for module, names in ((metrics, metrics.__all__), (pairwise, dir(pairwise))):
        found = [getattr(module, name) for name in names if not name.startswith("_")]
        values |= {f"{f.__module__}.{f.__name__}" for f in found if getattr(f, "__module__", "").startswith("sklearn.metrics") and callable(f)
                   and not isinstance(f, type) and "plot" not in f.__module__}  # fmt: skip
    for module, ending in (
        (_dist_metrics, r".*Distance(32|64)?"),
        (_ball_tree, "BallTree(32|64)?"),
        (_kd_tree, "KDTree(32|64)?"),
    ):
        values |= {f"{module.__name__}.{name}" for name in dir(module) if re.fullmatch(ending, name)}
    values -= classes
    values = {
        path
        for path in values
        if path.rpartition(".")[2] not in CALL_OTHERS and canonical(*_split(path)) == path
    }
    print(HEAD.format(classes=by_module(classes), values=by_module(values), ufuncs=_wrapped(sorted(ufuncs))))


def _split(path: str) -> tuple[str, str]:
    module, _, name = path.rpartition(".")
    return module, name


def _is_instantiated(seen: set[str]) -> bool:
    return any(use == "new()" or use == "built" for use in seen)


HEAD = '''"""Names that models hold: written by ``tools/merge_names.py``, then read by a person.

Seen in pickles of every estimator that scikit-learn lists, in some 600 configurations, with scikit-learn
1.2 to 1.9, numpy 1.23 to 2.5 and pandas 2.0 to 3.1. `prism_sklearn.audit.called` has those that are called.
"""

from __future__ import annotations

from collections.abc import Mapping


def _paths(names: Mapping[str, str]) -> frozenset[str]:
    return frozenset(f"{{module}}.{{name}}" for module, text in names.items() for name in text.split())


# Instances are made of these by `__new__` without arguments, and given their state: attributes,
# for scikit-learn's and pandas's own `__setstate__` nothing more than that.
CLASSES = _paths(
{classes}
)

# Held by models and called with rows at most, when they predict: types of values, and functions of numbers
# to numbers. None opens a file, imports a name or calls another function that it is given.
_VALUES = _paths(
{values}
)
# numpy's functions of each element. Where they are found depends on what was imported first.
_UFUNCS = (
{ufuncs})
_UFUNC_MODULES = ("numpy", "numpy._core", "numpy._core.umath", "numpy._core._multiarray_umath")
VALUES = _VALUES | _paths({{module: _UFUNCS for module in _UFUNC_MODULES}})
'''

if __name__ == "__main__":
    main()
