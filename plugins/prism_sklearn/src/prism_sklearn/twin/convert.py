"""Convert a loaded model into twins: graphs, and a plan of how its signature is answered by them.

Nothing is known of the estimators here: which output of which graph is which output of the
signature is found by comparing numbers. Whether the whole is right is the core's to prove.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from prism_core.plugin import Batch, Candidate, Conversion, InvalidInput, ModelLoadFailed, TensorSpec
from prism_sklearn.model import SklearnModel
from prism_sklearn.twin.graphs import Inlet, Unconvertible, graphs, inlet_of, used_ports
from prism_sklearn.twin.model import open_session
from prism_sklearn.twin.plan import Plan, Port, Way, adapted, graph_file
from prism_sklearn.twin.rows import ordinary
from prism_sklearn.walk import set_n_jobs

_ROWS = 64
# Near enough to tell one output from another; how near it has to be is another question.
_ALIKE = 1e-3
_SHAPES = ("as it is", "flat", "second", "column", "targets")


def convert(conversion: Conversion) -> Iterator[Candidate]:
    """Yield the twin with doubles, then the one with floats.

    Raises
    ------
    ModelLoadFailed
        If rows of the model have no form in ONNX at all.
    """
    model = conversion.model
    assert isinstance(model, SklearnModel)
    widths: tuple[str, ...] = ("float64", "float32")
    try:
        if not inlet_of(model.feed, widths[0]).has_numbers:
            widths = widths[1:]
    except Unconvertible as error:
        raise ModelLoadFailed(str(error)) from error
    for width in widths:
        directory = conversion.directory / width
        try:
            _make(conversion, model, width, directory)
        except Unconvertible as error:
            yield Candidate(directory, width, problem=str(error))
        else:
            yield Candidate(directory, width)


def _make(conversion: Conversion, model: SklearnModel, width: str, directory: Path) -> None:
    from prism_sklearn.loading import read_estimator

    # Afresh: the model that serves has changed its own, and forgotten names.
    estimator = read_estimator(conversion.artifact, conversion.options)
    set_n_jobs(estimator, 1)
    inlet = inlet_of(model.feed, width)
    rows = ordinary(model, np.random.default_rng(1), _ROWS)
    if not rows.rows:
        raise Unconvertible("no rows were found that the model takes")
    search = Search(model, inlet, rows)
    directory.mkdir()
    for graph in graphs(estimator, inlet):
        if search.take(graph):
            graph_file(directory, len(search.ports) - 1).write_bytes(graph)
        if not search.wanted:
            break
    if search.wanted:
        problem = f": {search.problems[0]}" if search.problems else ""
        raise Unconvertible(f"no graph answers {', '.join(search.wanted)}{problem}")
    kept = {port.graph: port for ports in search.ports for port in ports}
    ports = tuple(attrs.evolve(port, refuses=refused(model, port, rows)) for port in kept.values())
    plan = Plan(type(estimator).__name__, model.signature, ports, search.ways, len(search.ports))
    plan.write(directory)


class Search:
    """Finds the outputs of a signature among those of graphs, by their values on ``rows``.

    Attributes
    ----------
    wanted
        Outputs that no graph has answered yet.
    ways
        Where the others are found.
    ports
        For each graph that was taken the inputs that it reads.
    problems
        Why graphs could not be run.
    """

    def __init__(self, model: SklearnModel, inlet: Inlet, rows: Batch) -> None:
        self._inlet = inlet
        self._rows = rows
        names = tuple(spec.name for spec in model.signature.outputs)
        self._specs = {spec.name: spec for spec in model.signature.outputs}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._right = model.predict(Batch(rows.tensors, names)).tensors
        self.wanted = list(names)
        self.ways: dict[str, Way] = {}
        self.ports: list[tuple[Port, ...]] = []
        self.problems: list[str] = []

    def take(self, graph: bytes) -> bool:
        """Look for wanted outputs in ``graph``; return whether it has any."""
        try:
            session = open_session(graph)
            ports = used_ports(self._inlet.ports, session)
            feeds = {port.graph: _fed(port, self._rows.tensors[port.tensor]) for port in ports}
            answers = dict(
                zip((one.name for one in session.get_outputs()), session.run(None, feeds), strict=True)
            )
        except Exception as error:  # onnxruntime's exceptions have no common base
            self.problems.append(
                str(error).strip().splitlines()[0][:200] if str(error) else "it does not run"
            )
            return False
        found = {name: way for name in self.wanted if (way := self._way(name, answers))}
        self.wanted = [name for name in self.wanted if name not in found]
        self.ways |= found
        if found:
            self.ports.append(ports)
        return bool(found)

    def _way(self, name: str, answers: dict[str, Any]) -> Way | None:
        best, least = None, _ALIKE
        for output, values in answers.items():
            if not isinstance(values, np.ndarray) or not values.ndim:
                continue
            for shape in _SHAPES:
                error = _unlike(np.asarray(self._right[name]), values, shape, self._specs[name])
                if error < least:
                    best, least = Way(len(self.ports), output, shape), error
        return best


def _fed(port: Port, values: Any) -> Any:
    return np.asarray(values.reshape(-1, 1) if port.column else values, dtype=port.dtype)


def _unlike(right: Any, values: Any, shape: str, spec: TensorSpec) -> float:
    """Return how far ``values`` in ``shape`` are from what is right, inf where they are something else."""
    try:
        told = adapted(values, shape).astype(spec.dtype)
    except (IndexError, TypeError, ValueError):
        return np.inf
    if told.shape != right.shape:
        return np.inf
    if right.dtype.kind != "f":
        return 0.0 if (told == right).all() else np.inf
    if values.dtype.kind not in "fiub":
        return np.inf
    finite = np.isfinite(right)
    if not np.array_equal(finite, np.isfinite(told)) or not finite.any():
        return np.inf
    size = np.abs(right[finite]).mean() or 1.0
    return float(np.abs(told - right)[finite].max() / size)


def refused(model: SklearnModel, port: Port, rows: Batch) -> tuple[str, ...]:
    """Find out what the original refuses in one input, by trying it."""
    spec = model.signature.input(port.tensor)
    assert spec is not None
    odd: dict[str, Any] = {}
    if spec.dtype.kind == "f":
        odd = {"missing": np.nan, "infinite": np.inf}
    elif spec.categories:
        odd = {"unknown": "\x00 never seen" if spec.datatype == "BYTES" else _unused(spec.categories)}
    return tuple(name for name, value in odd.items() if _refuses(model, port.tensor, value, rows))


def _unused(categories: tuple[Any, ...]) -> Any:
    return 1 + max(int(value) for value in categories)


def _refuses(model: SklearnModel, tensor: str, value: Any, rows: Batch) -> bool:
    tensors = {name: np.array(values[:1], copy=True) for name, values in rows.tensors.items()}
    tensors[tensor].reshape(1, -1)[0, -1] = value
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.predict(Batch(tensors))
    except InvalidInput:
        return True
    except Exception:  # it fails in another way; the proof will see to it
        return False
    return False
