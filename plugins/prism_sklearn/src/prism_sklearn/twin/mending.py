"""Mend a graph: operators that answer float32 whatever they are given, inputs that nobody reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prism_sklearn.twin.writer import DOMAIN, OPSET

if TYPE_CHECKING:
    from prism_sklearn.twin.graphs import Inlet

# Operator -> which of its outputs is float32 by definition, whatever goes in.
_FLOAT_OUTPUT = {
    "LinearClassifier": 1,
    "LinearRegressor": 0,
    "SVMClassifier": 1,
    "SVMRegressor": 0,
    "TreeEnsembleClassifier": 1,
    "TreeEnsembleRegressor": 0,
}
# Those that onnxruntime has no kernel of doubles for.
_FLOAT_INPUT = ("LinearRegressor", "SVMRegressor")


def mend(model: Any, inlet: Inlet) -> Any:
    """Return ``model`` with its types in order and without inputs that it does not read."""
    if any(port.dtype == "float64" for port in inlet.ports):
        _cast_floats(model.graph)
    if any(node.op_type == "TreeEnsemble" for node in model.graph.node):
        for one in model.opset_import:
            if one.domain == DOMAIN:
                one.version = OPSET
    read = {name for node in model.graph.node for name in node.input}
    unread = [one for one in model.graph.input if one.name not in read]
    for one in unread:
        model.graph.input.remove(one)
    return model


def _cast_floats(graph: Any) -> None:
    from onnx import TensorProto, helper

    nodes = []
    for node in graph.node:
        if node.op_type in _FLOAT_INPUT:
            narrow = f"{node.input[0]}_as_float_for_{node.name or node.output[0]}"
            nodes.append(helper.make_node("Cast", [node.input[0]], [narrow], to=TensorProto.FLOAT))
            node.input[0] = narrow
        nodes.append(node)
        place = _FLOAT_OUTPUT.get(node.op_type, -1)
        if 0 <= place < len(node.output) and node.output[place]:
            wide = node.output[place]
            node.output[place] = f"{wide}_as_float"
            nodes.append(helper.make_node("Cast", [f"{wide}_as_float"], [wide], to=TensorProto.DOUBLE))
    copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)
