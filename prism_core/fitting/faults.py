"""Collect everything that is wrong with a request, then say it once.

A person who repairs a CSV of a thousand rows wants all bad cells in one answer, so
readers go on after a fault and call `Faults.check` at their end.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from prism_core.errors import InvalidInput
from prism_core.types import Signature, TensorSpec

# Enough to repair a file by; beyond it only the number of faults is told.
REPORTED = 100
# Where a reader gives up looking: a body of nothing but faults is not worth a second of a core.
COUNTED = 10_000
# The closest name is looked for this often: a million unknown names would keep a core busy for seconds.
HINTED = 5
# A value is quoted in an answer up to this length: bodies are large, messages are not.
QUOTED = 60
# As are so many sizes of a shape.
SIZES = 8


class Faults:
    """The faults of one request; told by row, whatever the order of their discovery."""

    def __init__(self) -> None:
        self.count = 0
        self._found: list[tuple[dict[str, Any], str]] = []

    def add(self, row: int, column: str | int, expected: str, got: str, hint: str = "") -> None:
        """Note that the value at ``row`` and ``column`` ("" for the row itself) does not fit.

        Raises
        ------
        InvalidInput
            When there are too many faults to go on.
        """
        self.count += 1
        self._found.append(({"row": row, "column": column, "expected": expected, "got": got}, hint))
        if self.count >= COUNTED:
            self.check()

    def check(self) -> None:
        """Return if nothing is wrong.

        Raises
        ------
        InvalidInput
            Naming the first fault; ``details["errors"]`` lists them by row.
        """
        if not self.count:
            return
        # Stable: within a row, the order of discovery.
        found = sorted(self._found, key=lambda one: one[0]["row"])
        errors = [entry for entry, _ in found[:REPORTED]]
        details: dict[str, Any] = {"errors": errors, "count": self.count}
        if self.count > len(errors):
            details["not_shown"] = self.count - len(errors)
        hint = next((hint for _, hint in found if hint), "`details` lists every fault.")
        raise InvalidInput(self._message(errors[0]), hint=hint, details=details)

    def _message(self, first: dict[str, Any]) -> str:
        place = f"Row {first['row']}" + (f", column {first['column']!r}" if first["column"] != "" else "")
        count = f"at least {self.count} faults" if self.count >= COUNTED else f"{self.count} faults in all"
        more = f" ({count})" if self.count > 1 else ""
        return f"{place}: expected {first['expected']}, got {first['got']}{more}."


def quote(value: Any) -> str:
    """Return ``value`` as a short text for a message, whatever it is."""
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int) and value.bit_length() > 256:
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, str | bytes):
        value = value[: QUOTED + 1]
    text = repr(value.item() if isinstance(value, np.generic) else value)
    return text if len(text) <= QUOTED else text[: QUOTED - 3] + "..."


def quote_shape(shape: Sequence[int]) -> str:
    """Return a shape for a message; one that somebody made up may have any number of any size."""
    more = ", ..." if len(shape) > SIZES else ""
    return f"({', '.join(map(quote, shape[:SIZES]))}{more})"


def expected(spec: TensorSpec) -> str:
    """Return what a value of ``spec`` must be, for instance ``FP64 or null``."""
    # There is no missing integer or bool: neither type has a value for it.
    return f"{spec.datatype} or null" if spec.nullable and spec.dtype.kind in "fO" else spec.datatype


def did_you_mean(name: Any, known: Iterable[str]) -> str:
    """Return a hint with the closest of ``known``, or ""."""
    close = difflib.get_close_matches(str(name)[:QUOTED], list(known), n=1)
    return f"Did you mean {close[0]!r}?" if close else ""


def listed(names: Iterable[str], limit: int = 20) -> str:
    """Return names for a message, the first ``limit`` of them."""
    names = [str(name) for name in names]
    more = f", ... ({len(names)} in all)" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def check_names(got: Iterable[Any], known: Iterable[str], faults: Faults, row: int = 0) -> None:
    """Note every name of ``known`` that is missing in ``got``, and every one that is too much."""
    got, known = list(got), list(known)
    present, wanted = set(got), set(known)
    takes, one_of = f"The model takes {listed(known)}.", f"one of {listed(known, 5)}"
    for name in got:
        if name not in wanted:
            hint = (did_you_mean(name, known) or takes) if faults.count < HINTED else takes
            faults.add(row, str(name)[:QUOTED], one_of, "an unknown name", hint)
    for name in known:
        if name not in present:
            faults.add(row, name, "a value", "nothing", takes)


def only_input(signature: Signature, what: str) -> TensorSpec:
    """Return the one input of ``signature``; ``what`` is said to carry one tensor only.

    Raises
    ------
    InvalidInput
        If there are several.
    """
    if len(signature.inputs) == 1:
        return signature.inputs[0]
    names = [spec.name for spec in signature.inputs]
    raise InvalidInput(
        f"{what} holds one tensor, the model takes {len(names)}: {listed(names)}.",
        hint='Send JSON {"inputs": {"name": ...}} or application/vnd.prism.tensors, which name them.',
    )
