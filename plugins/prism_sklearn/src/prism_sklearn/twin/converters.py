"""Our own converters, as skl2onnx takes them: by class, each with a calculator of shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prism_sklearn.twin import kernels
from prism_sklearn.twin.ensembles import EMITTERS
from prism_sklearn.twin.isolation import isolation_forest
from prism_sklearn.twin.writer import Writer, is_wide

Emit = Callable[[Writer, Any, bool], Any]


def converters() -> tuple[dict[type, Any], dict[type, Any]]:
    """Return functions that convert and functions that tell shapes, by class."""
    from skl2onnx._supported_operators import _get_sklearn_operator_name as get_model_alias
    from skl2onnx.common._registration import get_converter, get_shape_calculator
    from sklearn.impute import SimpleImputer

    functions: dict[type, Any] = {}
    shapes: dict[type, Any] = {}
    for kind, emit in _by_class().items():
        alias = get_model_alias(kind)
        functions[kind] = _converter(emit, get_converter(alias))
        shapes[kind] = _shapes(get_shape_calculator(alias))
    functions[SimpleImputer] = _imputer(get_converter("SklearnSimpleImputer"))
    shapes[SimpleImputer] = get_shape_calculator("SklearnSimpleImputer")
    return functions, shapes


def _by_class() -> dict[type, Emit]:
    from sklearn import ensemble, svm, tree

    places = {name: getattr(ensemble, name, None) or getattr(tree, name) for name in EMITTERS}
    others: dict[type, Emit] = dict.fromkeys((svm.SVC, svm.NuSVC), kernels.svm_classifier)
    others |= dict.fromkeys((svm.SVR, svm.NuSVR), kernels.svm_regressor)
    others[ensemble.IsolationForest] = isolation_forest
    return {kind: EMITTERS[name] for name, kind in places.items()} | others


def _converter(emit: Emit, own: Any) -> Any:
    def convert(scope: Any, operator: Any, container: Any) -> None:
        model = operator.raw_operator
        if not _is_ours(model, operator):
            own(scope, operator, container)
            return
        raw = _asked_for_raw_scores(container, model)
        emit(Writer(scope, operator, container), model, raw)

    return convert


def _asked_for_raw_scores(container: Any, model: Any) -> bool:
    try:
        return bool(container.get_options(model, {"raw_scores": False}).get("raw_scores"))
    except NameError:  # skl2onnx's word for an option that the estimator does not have
        return False


def _is_ours(model: Any, operator: Any) -> bool:
    """Tell whether we write it: classifiers of several targets, and others in float32, are skl2onnx's."""
    if hasattr(model, "support_vectors_"):
        return is_wide(operator) and kernels.converts(model)
    return getattr(model, "n_outputs_", 1) == 1 or not hasattr(model, "classes_")


def _shapes(own: Any) -> Any:
    def calculate(operator: Any) -> None:
        from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

        own(operator)
        told = operator.outputs[-1]
        if is_wide(operator) and isinstance(told.type, FloatTensorType):
            told.type = DoubleTensorType(told.type.shape)

    return calculate


def _imputer(own: Any) -> Any:
    """Return a converter of `SimpleImputer` for doubles: ai.onnx.ml's own operator knows float32 only."""

    def convert(scope: Any, operator: Any, container: Any) -> None:
        if not _plain_imputer(operator):
            own(scope, operator, container)
            return
        writer = Writer(scope, operator, container)
        values = writer.features(narrow=False)
        statistics = writer.constant(operator.raw_operator.statistics_.reshape(1, -1))
        writer.node("Where", [writer.node("IsNaN", [values]), statistics, values], writer.outputs[0])

    return convert


def _plain_imputer(operator: Any) -> bool:
    import numpy as np

    imputer = operator.raw_operator
    return (
        is_wide(operator)
        and isinstance(imputer.missing_values, float)
        and np.isnan(imputer.missing_values)
        and not imputer.add_indicator
        and imputer.statistics_.dtype.kind == "f"
        and bool(np.isfinite(imputer.statistics_).all())
    )
