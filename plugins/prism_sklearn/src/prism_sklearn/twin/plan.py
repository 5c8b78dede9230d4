"""What lies beside the graphs of a twin: how requests go in and answers come out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import msgspec
import numpy as np

from prism_core.plugin import InvalidInput, Signature

PLAN_FILE = "plan.json"


@attrs.frozen
class Port:
    """One input of the signature on its way into the graphs.

    Parameters
    ----------
    tensor, graph
        Its name in the signature and in the graphs.
    dtype
        numpy's name of what the graphs take.
    column
        Whether it becomes a column of shape ``(rows, 1)``.
    refuses
        What the original refuses: ``missing``, ``infinite``, ``unknown`` categories.
    """

    tensor: str
    graph: str
    dtype: str
    column: bool
    refuses: tuple[str, ...] = ()


@attrs.frozen
class Way:
    """One output of the signature: which graph computes it, under what name, and its way into shape."""

    graph: int
    output: str
    adapt: str


@attrs.frozen
class Plan:
    """All that a twin is beside its graphs; ``kind`` is the original estimator's class."""

    kind: str
    signature: Signature
    ports: tuple[Port, ...]
    ways: dict[str, Way]
    graphs: int

    def write(self, directory: Path) -> None:
        """Write the plan beside the graphs."""
        (directory / PLAN_FILE).write_bytes(msgspec.json.encode(self))

    @classmethod
    def read(cls, directory: Path) -> Plan:
        """Read what `write` wrote."""
        return msgspec.json.decode((directory / PLAN_FILE).read_bytes(), type=cls)


def graph_file(directory: Path, number: int) -> Path:
    """Return where a graph lies."""
    return directory / f"{number}.onnx"


def adapted(values: Any, adapt: str) -> Any:
    """Bring what a graph answered into the shape that the signature promises."""
    if adapt == "flat":
        return values.reshape(-1)
    if adapt == "second":
        return values[:, 1]
    if adapt == "column":
        return values.reshape(len(values), -1)
    if adapt == "targets":
        return np.moveaxis(values, 0, 1)
    return values


def check(port: Port, values: Any, known: frozenset[Any]) -> None:
    """Refuse what the original refuses.

    Raises
    ------
    InvalidInput
        With the value.
    """
    if "infinite" in port.refuses:
        missing = "missing" in port.refuses
        if not (np.isfinite(values).all() if missing else not np.isinf(values).any()):
            raise InvalidInput(
                f"{port.tensor!r} holds {'NaN or ' * missing}infinity, which the model does not take.",
                hint="Send finite numbers, or fit the model behind an imputer.",
            )
    if "unknown" in port.refuses:
        strange = [value for value in values.reshape(-1).tolist() if value not in known]
        if strange:
            raise InvalidInput(
                f"{port.tensor!r} holds {strange[0]!r}, which the model was not fitted on.",
                hint="GET /model/NAME lists the categories that it knows.",
            )
