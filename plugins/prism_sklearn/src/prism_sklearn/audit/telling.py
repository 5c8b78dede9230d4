"""Tell the owner which names a file looks up, where, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from prism_core.plugin import Finding, Severity
from prism_sklearn.audit.judging import Seen
from prism_sklearn.audit.source import Refused

_SHOWN = 5
# Only for the words of a finding; what is admitted is in `admitted`, and nothing else is.
_RUNS = {
    "__builtin__",
    "_pickle",
    "_posixsubprocess",
    "builtins",
    "code",
    "codecs",
    "codeop",
    "commands",
    "ctypes",
    "importlib",
    "io",
    "logging",
    "marshal",
    "multiprocessing",
    "nt",
    "operator",
    "os",
    "pathlib",
    "pickle",
    "pip",
    "posix",
    "pty",
    "runpy",
    "shutil",
    "socket",
    "subprocess",
    "sys",
    "timeit",
    "types",
    "urllib",
    "webbrowser",
}
_LAMBDAS = frozenset(("cloudpickle", "dill"))

_CODE = (
    "Loading it would run code. If you did not make this file, delete it; if you did, save the fitted "
    "model without what is named here."
)
_LAMBDA = (
    "It holds functions as code, such as lambdas. Put them into a module of an installed package, import "
    "them from there, and save the model with joblib."
)
_SEARCH = (
    "The distributions of a random search hold source code. Save what it found: "
    "joblib.dump(search.best_estimator_, 'model.joblib')."
)
_SCRIPT = (
    "It was defined in a script or notebook. Put it into a module of a package that is installed beside the "
    "server, import it from there, and save the model again."
)


def told(file: str, unknown: Sequence[Seen]) -> Finding:
    """Return the finding about names in no list."""
    listed = ", ".join(map(_placed, unknown[:_SHOWN]))
    more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
    which = "a name" if len(unknown) == 1 else f"{len(unknown)} names"
    return Finding(
        Severity.BLOCK,
        f"{file!r} uses {which} that no scikit-learn model needs: {listed}{more}.",
        hint=_next(unknown),
    )


def told_of(file: str, refused: Refused) -> Finding:
    """Return the finding about what no pickler writes."""
    if refused.damaged:
        message = f"{file!r} is cut off or damaged: at byte {refused.offset} {refused.what}."
        hint = "Save the model again, and compare the sizes after copying it."
    else:
        message = f"{file!r} does what no pickler writes: {refused.what} (byte {refused.offset})."
        hint = "If you did not make this file, delete it. If you did, save the model again with joblib.dump."
    return Finding(Severity.BLOCK, message, hint=hint)


def _placed(one: Seen) -> str:
    return one.path if one.offset is None else f"{one.path} (byte {one.offset})"


def _next(unknown: Sequence[Seen]) -> str:
    packages = {one.module.partition(".")[0] for one in unknown}
    if packages & _LAMBDAS:
        return _LAMBDA
    if packages & _RUNS:
        return _CODE
    if any(one.module.startswith("scipy.stats.") for one in unknown):
        return _SEARCH
    if "__main__" in packages:
        return _SCRIPT
    flags = " ".join(f"--trust {shlex.quote(one.trust)}" for one in unknown)
    if len(unknown) == 1:
        return f"If it is yours, or you trust who wrote it, admit it for this file: {flags}"
    return f"If they are yours, or you trust who wrote them, admit them for this file: {flags}"
