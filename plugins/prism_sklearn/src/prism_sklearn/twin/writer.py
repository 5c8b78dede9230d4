"""Write nodes into a graph that skl2onnx is making, in doubles."""

from __future__ import annotations

from typing import Any

import numpy as np

DOMAIN = "ai.onnx.ml"
# The first version of ai.onnx.ml with `TreeEnsemble`, whose trees and sums are doubles.
OPSET = 5

Array = np.ndarray[Any, Any]


class Writer:
    """Adds nodes to a graph that is being converted; every step takes and returns names of values."""

    def __init__(self, scope: Any, operator: Any, container: Any) -> None:
        from onnx import TensorProto

        self._scope = scope
        self._container = container
        self._types = TensorProto
        self.model = operator.raw_operator
        self.outputs = [one.full_name for one in operator.outputs]
        self._wide = is_wide(operator)
        self._inputs = operator.inputs

    def features(self, *, narrow: bool) -> str:
        """Return the features as doubles, rounded to float32 first where the trees do so."""
        from skl2onnx.operator_converters.common import concatenate_variables

        name = concatenate_variables(self._scope, self._inputs, self._container)
        return self.cast(self.cast(name, "FLOAT") if narrow else name, "DOUBLE")

    def node(self, kind: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        """Add a node with one output and return its name."""
        output = output or self._scope.get_unique_variable_name(kind.lower())
        name = self._scope.get_unique_operator_name(kind)
        self._container.add_node(kind, inputs, output, name=name, **attributes)
        return output

    def constant(self, values: Any) -> str:
        """Add a constant of doubles, integers or texts and return its name."""
        array = np.asarray(values)
        kinds = {"f": self._types.DOUBLE, "i": self._types.INT64, "O": self._types.STRING}
        flat = [v.encode() for v in array.ravel()] if array.dtype.kind == "O" else array.ravel().tolist()
        name = self._scope.get_unique_variable_name("constant")
        self._container.add_initializer(name, kinds[array.dtype.kind], list(array.shape), flat)
        return str(name)

    def cast(self, name: str, kind: str, output: str = "") -> str:
        """Return a value in another type."""
        return self.node("Cast", [name], output, to=getattr(self._types, kind))

    def number(self, name: str, place: int) -> None:
        """Let a value be one of the operator's outputs, if it has so many."""
        if place < len(self.outputs):
            self.cast(name, "DOUBLE" if self._wide else "FLOAT", self.outputs[place])

    def label(self, index: str, classes: Any) -> None:
        """Let the classes at ``index``, ``(rows,)``, be the first output."""
        self.node("Gather", [self.constant(labels(classes)), index], self.outputs[0], axis=0)


def is_wide(operator: Any) -> bool:
    """Tell whether an operator's input is anything but float32, so that its output is to be doubles."""
    from skl2onnx.common.data_types import FloatTensorType

    return not all(isinstance(one.type, FloatTensorType) for one in operator.inputs)


def labels(classes: Any) -> Array:
    """Return class labels as a graph may have them: texts or whole numbers."""
    array = np.asarray(classes)
    if array.dtype.kind in "UO":
        return np.array([str(one) for one in array], dtype=object)
    whole = array.astype(np.int64)
    if not (whole == array).all():
        raise NotImplementedError("class labels that are no whole numbers have no form in ONNX")
    return whole
