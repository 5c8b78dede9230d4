"""Open an artifact in the runtime: bytes -> fitted estimator -> model, or a clear error.

The only module that executes what a file says.
"""

from __future__ import annotations

import mmap
import re
import sys
import warnings
from typing import Any

from prism_core.plugin import Artifact, ModelLoadFailed, PrismError, UnsafeArtifact
from prism_sklearn.audit import findings
from prism_sklearn.audit.admitted import Admitted
from prism_sklearn.content import is_skops, looks_pickled, opening
from prism_sklearn.directories import file_of
from prism_sklearn.model import SklearnModel
from prism_sklearn.options import SklearnOptions
from prism_sklearn.outputs import METHODS
from prism_sklearn.restricted import Names, read
from prism_sklearn.unpacking import compression_of, opened
from prism_sklearn.walk import is_fitted

_TRAINED_WITH = re.compile(rb"_sklearn_version.{1,8}?(\d+\.\d+[\w.]*)", re.DOTALL)
_MISSING_NAME = re.compile(r"Can't get attribute '([\w.]+)' on <module '([\w.]+)'")
_LFS = b"version https://git-lfs"
_MAX_WARNINGS = 5


def load(artifact: Artifact, options: SklearnOptions) -> SklearnModel:
    """Load the estimator in ``artifact`` and make it a model.

    Raises
    ------
    ModelLoadFailed
        If the file is damaged, needs what is not installed, or holds no fitted estimator.
    UnsafeArtifact
        If it uses names that are neither admitted nor trusted.
    """
    artifact = file_of(artifact)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimator = read_estimator(artifact, options)
        _check(estimator, artifact.name)
        model = SklearnModel(estimator, options)
    model.warnings = _worth_telling(caught)
    return model


def read_estimator(artifact: Artifact, options: SklearnOptions) -> Any:
    """Return what ``artifact`` holds; raises as `load` does."""
    artifact = file_of(artifact)
    try:
        return (_read_skops if is_skops(artifact) else _read_pickle)(artifact, options)
    except PrismError:
        raise
    except ModuleNotFoundError as error:
        raise _missing_module(error, artifact) from error
    except AttributeError as error:
        raise _missing_name(error, artifact) from error
    except MemoryError:
        raise
    except Exception as error:
        raise ModelLoadFailed(
            f"{artifact.name!r} cannot be loaded: {type(error).__name__}: {error}"
            + _trained_with(artifact, "; it was saved by scikit-learn {}, this is {}"),
            hint="The file may be cut off or damaged: save it again and compare the sizes.",
        ) from error


def _read_pickle(artifact: Artifact, options: SklearnOptions) -> Any:
    content = opening(artifact)
    if not looks_pickled(content):
        raise _no_pickle(artifact, content)
    names = Names(Admitted.of(options.trust), artifact.name)
    with opened(artifact) as (file, size):
        # What is compressed cannot be searched for arrays before it is read.
        return read(file, names, plain=size is not None and not _written_by_joblib(artifact))


def _written_by_joblib(artifact: Artifact) -> bool:
    """Tell whether raw arrays lie between the opcodes: joblib's own reader is needed, in slow Python."""
    with artifact.path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(b"joblib.numpy_pickle") >= 0


def _no_pickle(artifact: Artifact, content: bytes) -> ModelLoadFailed:
    if content.startswith(_LFS):
        return ModelLoadFailed(
            f"{artifact.name!r} is a Git LFS pointer, not the model itself.",
            hint="Run `git lfs pull`, then upload again.",
        )
    if compression_of(artifact.head(8)):
        what = "is compressed, and no pickle is in it that can be read"
    else:
        what = f"is no pickle: it begins with {content[:16]!r}" if content else "is empty"
    return ModelLoadFailed(
        f"{artifact.name!r} {what}.",
        hint="Save the fitted estimator with joblib.dump(model, 'model.joblib').",
    )


def _read_skops(artifact: Artifact, options: SklearnOptions) -> Any:
    try:
        from skops import io
    except ImportError as error:
        raise ModelLoadFailed(
            f"{artifact.name!r} is a skops file and skops is not installed.",
            hint="Install it beside the server: pip install 'prism-sklearn[skops]'.",
        ) from error
    blocking = list(findings(artifact, options.trust))
    if blocking:
        raise UnsafeArtifact(" ".join(one.message for one in blocking), hint=blocking[0].hint)
    return io.load(artifact.path, trusted=io.get_untrusted_types(file=artifact.path))


def _missing_module(error: ModuleNotFoundError, artifact: Artifact) -> ModelLoadFailed:
    name = error.name or str(error)
    package = name.partition(".")[0]
    if package == "lz4":
        hint = "Install it beside the server: pip install 'prism-sklearn[lz4]'."
    elif package in ("sklearn", "numpy", "scipy", "pandas", "joblib"):
        hint = (
            f"It was saved with another version of {package}: install that one, or train again with this one."
        )
    else:
        hint = (
            f"Name the package that has {package!r} in a file, upload again with --requirements FILE, or "
            "install it where the server is, and use what is there: --environment server."
        )
    return ModelLoadFailed(
        f"{artifact.name!r} needs the module {name!r}, which is not installed here"
        + _trained_with(artifact, " (it was saved by scikit-learn {}, this is {})")
        + ".",
        hint=hint,
        details={"module": name},
    )


def _missing_name(error: AttributeError, artifact: Artifact) -> ModelLoadFailed:
    found = _MISSING_NAME.search(str(error))
    if found is None:
        return ModelLoadFailed(
            f"{artifact.name!r} cannot be loaded: {error}"
            + _trained_with(artifact, "; it was saved by scikit-learn {}, this is {}"),
            hint="It may need another version of a package: install that one, or train again with this one.",
        )
    name, module = found.groups()
    # Python calls __main__ by what it was started as, for instance `python -m pytest`.
    started_as = getattr(sys.modules["__main__"].__spec__, "name", "__main__")
    where = "a script or notebook" if module in ("__main__", started_as) else f"the module {module!r}"
    return ModelLoadFailed(
        f"{artifact.name!r} uses {name!r} from {where}, which is not here.",
        hint=f"Put {name!r} into a module of an installed package, import it from there, and save it again.",
        details={"module": module, "name": name},
    )


def _trained_with(artifact: Artifact, text: str) -> str:
    """Return ``text`` with the file's and this scikit-learn's version, "" if they are equal or unknown."""
    import sklearn

    found = _TRAINED_WITH.search(opening(artifact))
    version = found.group(1).decode() if found else sklearn.__version__
    return "" if version == sklearn.__version__ else text.format(version, sklearn.__version__)


def _check(estimator: Any, name: str) -> None:
    """Raise unless ``estimator`` is a fitted estimator, or answers as one."""
    if isinstance(estimator, type):
        raise ModelLoadFailed(
            f"{name!r} holds the class {estimator.__name__}, not a fitted object of it.",
            hint="Save what fit() returned.",
        )
    ducks = [*METHODS.values(), "fit"]
    if not any(callable(getattr(estimator, method, None)) for method in ducks) or _is_data(estimator):
        raise ModelLoadFailed(
            f"{name!r} holds {_what(estimator)}, not a model.",
            hint=_model_inside(estimator)
            or "Save the fitted estimator itself: joblib.dump(model, 'model.joblib').",
        )
    if hasattr(estimator, "get_params") and hasattr(estimator, "fit") and not is_fitted(estimator):
        raise ModelLoadFailed(
            f"{name!r} holds a {type(estimator).__name__} that has not been fitted.",
            hint="Call fit() before you save it.",
        )


def _is_data(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] in ("pandas", "numpy", "builtins")


def _what(value: Any) -> str:
    kind = f"a {type(value).__module__}.{type(value).__qualname__}".replace("builtins.", "")
    if isinstance(value, dict):
        return f"{kind} with the keys {', '.join(repr(key) for key in list(value)[:8])}"
    if isinstance(value, list | tuple):
        return f"{kind} of {len(value)} values"
    return kind


def _model_inside(value: Any) -> str:
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list | tuple)
        else ()
    )
    keys = [key for key, one in items if hasattr(one, "predict") and not isinstance(one, type)]
    return f"Save the model in it by itself: joblib.dump(it[{keys[0]!r}], 'model.joblib')." if keys else ""


def _worth_telling(caught: list[warnings.WarningMessage]) -> tuple[str, ...]:
    """Return what the owner should know, each once, the versions first."""
    from sklearn import exceptions

    other_version = getattr(exceptions, "InconsistentVersionWarning", ())  # since scikit-learn 1.3
    told: dict[str, None] = {}
    others: dict[str, None] = {}
    for one in caught:
        warning = one.message
        if isinstance(warning, other_version):
            then, now = warning.original_sklearn_version, warning.current_sklearn_version
            text = (
                f"The model was trained with scikit-learn {then} and runs under {now}: answers may differ. "
            )
            told[text + "Train again, or let it have an environment of its own: --environment auto."] = None
        elif not issubclass(one.category, DeprecationWarning | FutureWarning | ResourceWarning):
            others[f"{one.category.__name__}: {' '.join(str(warning).split())}"] = None
    return (*told, *list(others)[:_MAX_WARNINGS])
