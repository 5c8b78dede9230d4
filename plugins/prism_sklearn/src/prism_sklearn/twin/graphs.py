"""Make the graphs: what skl2onnx converts, mended where its types and onnxruntime's kernels disagree."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from prism_sklearn.columns import Column
from prism_sklearn.feeds import Dicts, Feed, Matrix, Table
from prism_sklearn.plain import Branches
from prism_sklearn.twin.converters import converters
from prism_sklearn.twin.mending import mend
from prism_sklearn.twin.plan import Port
from prism_sklearn.walk import parts

# What onnxruntime has kernels for, and ai.onnx.ml 3 is the first with trees of doubles.
OPSETS = {"": 17, "ai.onnx.ml": 3}
_IR_VERSION = 8
# Ways to ask skl2onnx for what an estimator answers, tried until every output is found.
WISHES: tuple[Mapping[str, Any], ...] = (
    {"zipmap": False},
    {"zipmap": False, "raw_scores": True},
    {"raw_scores": True},
    {"score_samples": True},
    {},
)
_NO_CONVERTER = re.compile(r"Unable to find a (?:shape calculator|converter) for .*?(\w+)'>")
_NUMPY = {"FP64": "float64", "INT64": "int64", "BOOL": "bool", "BYTES": "object"}


class Unconvertible(Exception):
    """There is no graph, for the reason given."""


@attrs.frozen
class Inlet:
    """What goes into the graphs: skl2onnx's types by name, and the ports of those that are used."""

    types: tuple[tuple[str, Any], ...]
    ports: tuple[Port, ...]

    @property
    def has_numbers(self) -> bool:
        """Whether any input is of floats, so that their width matters."""
        return any(port.dtype.startswith("float") for port in self.ports)


def inlet_of(feed: Feed, dtype: str) -> Inlet:
    """Return the inlet of what a feed gathers, with floats of ``dtype``.

    Raises
    ------
    Unconvertible
        If rows are neither a matrix nor columns.
    """
    if isinstance(feed, Branches):
        feed = feed.table
    if isinstance(feed, Matrix):
        return _matrix(feed, dtype)
    if isinstance(feed, Dicts) or not isinstance(feed, Table):
        raise Unconvertible("rows that are dicts have no form in ONNX")
    types, ports = [], []
    for place, column in enumerate(feed.columns):
        # Names may hold what a graph's name may not; skl2onnx finds columns by name or by place.
        name = column.name if feed.frame else f"x{place}"
        types.append((name, _type(_datatype(column), 1, dtype)))
        if column.used:
            ports.append(Port(column.name, name, _width(_NUMPY[_datatype(column)], dtype), column=True))
    return Inlet(tuple(types), tuple(ports))


def _matrix(feed: Matrix, dtype: str) -> Inlet:
    width = feed.features or 1
    if feed.features == -1:
        raise Unconvertible("the number of features is not known")
    kind = feed.datatype
    port = Port(feed.name, "input", _width(_NUMPY[kind], dtype), column=feed.features is None)
    return Inlet((("input", _type(kind, width, dtype)),), (port,))


def _datatype(column: Column) -> str:
    return column.datatype or "FP64"


def _width(numpy_name: str, dtype: str) -> str:
    return dtype if numpy_name == "float64" else numpy_name


def _type(datatype: str, width: int, dtype: str) -> Any:
    from skl2onnx.common import data_types

    floats = data_types.DoubleTensorType if dtype == "float64" else data_types.FloatTensorType
    known = {
        "FP64": floats,
        "INT64": data_types.Int64TensorType,
        "BOOL": data_types.BooleanTensorType,
        "BYTES": data_types.StringTensorType,
    }
    return known[datatype]([None, width])


def graphs(estimator: Any, inlet: Inlet) -> Iterator[bytes]:
    """Yield graphs that answer as ``estimator`` does, each with other outputs.

    Raises
    ------
    Unconvertible
        If there is not one, with skl2onnx's first word on it.
    """
    problems: list[str] = []
    made = 0
    for wish in WISHES:
        try:
            graph = _converted(estimator, inlet, wish)
        except Exception as error:  # skl2onnx raises whatever its converters run into
            if not _is_option(error):
                problems.append(_first_line(error))
            continue
        made += 1
        yield graph
    if not made:
        raise Unconvertible(
            f"skl2onnx cannot convert it: {problems[0] if problems else 'it takes no options'}"
        )


def _converted(estimator: Any, inlet: Inlet, wish: Mapping[str, Any]) -> bytes:
    from skl2onnx import convert_sklearn

    last = last_of(estimator)
    options: dict[Any, Any] = {id(one): dict(wish) for one in (estimator, last)} if wish else {}
    for part in parts(estimator):
        if type(part).__name__ in ("CountVectorizer", "TfidfVectorizer"):
            # skl2onnx asks for en_US.UTF-8, which small systems do not have.
            options[id(part)] = {"locale": "C"}
    functions, shapes = converters()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = convert_sklearn(
            estimator,
            initial_types=list(inlet.types),
            options=options or None,
            target_opset=OPSETS,
            custom_conversion_functions=functions,
            custom_shape_calculators=shapes,
        )
    model.ir_version = _IR_VERSION
    mended: bytes = mend(model, inlet).SerializeToString()
    return mended


def last_of(estimator: Any) -> Any:
    """Return the estimator at the end of pipelines and searches."""
    while True:
        inside = getattr(estimator, "best_estimator_", estimator)
        steps = getattr(inside, "steps", None)
        if inside is estimator and not isinstance(steps, list):
            return estimator
        estimator = steps[-1][1] if isinstance(steps, list) else inside


def _is_option(error: Exception) -> bool:
    """Tell whether it is only the wish that the estimator's converter does not know."""
    return isinstance(error, NameError) and str(error).startswith("Option ")


def _first_line(error: Exception) -> str:
    unknown = _NO_CONVERTER.search(str(error))
    if unknown:
        return f"it has no converter for {unknown.group(1)}"
    text = str(error).strip().splitlines()
    line = text[0].strip() if text else type(error).__name__
    return line if len(line) <= 200 else line[:197] + "..."


def used_ports(ports: Sequence[Port], session: Any) -> tuple[Port, ...]:
    """Return the ports that a graph has an input for."""
    names = {one.name for one in session.get_inputs()}
    return tuple(port for port in ports if port.graph in names)
