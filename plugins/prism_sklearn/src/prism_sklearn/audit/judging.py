"""Hold the names, calls and states of a pickle against the list and the rules."""

from __future__ import annotations

from typing import Any

import attrs

from prism_sklearn.audit.admitted import Admitted, canonical
from prism_sklearn.audit.arrays import ARRAYS, count_of, dtype_of, is_global
from prism_sklearn.audit.called import CALLED, FILLED, MADE_WITH
from prism_sklearn.audit.machine import Judge, Machine
from prism_sklearn.audit.opcodes import run
from prism_sklearn.audit.rules import any_state
from prism_sklearn.audit.source import Refused
from prism_sklearn.audit.values import Global, Items, Kind, Made

_FIELDS = {"subclass", "shape", "order", "dtype"}
_MORE_FIELDS = {"allow_mmap", "numpy_array_alignment_bytes"}
WRAPPER = "joblib.numpy_pickle.NumpyArrayWrapper"
_RECONSTRUCTOR = "copyreg._reconstructor"


class JoblibArrays(Judge):
    """Follows joblib, which writes the bytes of an array, or another pickle, right behind its wrapper."""

    def made(self, what: Global, args: Any) -> Made:
        """Return what stands for the result; before protocol 2 instances are made by a function."""
        if what.path == _RECONSTRUCTOR and isinstance(args, tuple) and args and isinstance(args[0], Global):
            return Made(args[0], ())
        return Made(what, args)

    def built(self, machine: Machine, made: Made) -> Any:
        """Return what takes the place of ``made``, and pass over what follows a wrapper."""
        return self._array(machine, made) if made.of.path == WRAPPER else made

    def _array(self, machine: Machine, made: Made) -> Any:
        state = made.state.named() if isinstance(made.state, Items) else None
        if state is None or not _FIELDS <= state.keys() <= _FIELDS | _MORE_FIELDS:
            raise Refused(machine.at, "an array of joblib's has other attributes than joblib gives it")
        element, count = dtype_of(state["dtype"]), count_of(state["shape"])
        known = is_global(state["subclass"], *ARRAYS) and state["order"] in ("C", "F")
        if element is None or count < 0 or not known or machine.source.in_frame:
            raise Refused(
                machine.at, "an array of joblib's has a shape or data type that joblib does not write"
            )
        if element.objects:
            return run(machine.source, self)
        if state.get("numpy_array_alignment_bytes") is not None:
            machine.source.skip(machine.source.byte())
        machine.source.skip(count * element.itemsize)
        return made


@attrs.frozen
class Seen:
    """A name that is in no list, and where it was looked up first, where that is known."""

    module: str
    name: str
    offset: int | None = None

    @property
    def path(self) -> str:
        """The name as a person reads it."""
        return f"{self.module}.{self.name}"

    @property
    def trust(self) -> str:
        """What admits it: ``module:name``."""
        return f"{self.module}:{self.name}"


class Auditor(JoblibArrays):
    """Judges by the list; names outside of it are collected, so that a person sees all at once.

    Attributes
    ----------
    admitted
        The list.
    unknown
        Names that are not in it.
    """

    def __init__(self, admitted: Admitted) -> None:
        self.admitted = admitted
        self._known: dict[tuple[str, str], Global] = {}
        self.unknown: list[Seen] = []

    def name(self, module: str, name: str, offset: int) -> Global:
        """Return what stands for a name."""
        known = self._known.get((module, name))
        if known is None:
            kind = self.admitted.kind(module, name)
            if kind is Kind.UNKNOWN:
                self.report(module, name, offset)
            known = self._known[module, name] = Global(canonical(module, name), kind)
        return known

    def report(self, module: str, name: str, offset: int | None = None) -> None:
        """Remember a name that is in no list, where it is used first."""
        if all((one.module, one.name) != (module, name) for one in self.unknown[-100:]):
            self.unknown.append(Seen(module, name, offset))

    def call(self, what: Global, args: Any) -> str:
        """Return why ``what`` may not be called with ``args``, or ""."""
        called = CALLED.get(what.path)
        if called is None:
            return f"it calls {what.path}, which a model holds and does not call as it is loaded"
        objection = called.rule(args)
        return objection and f"it calls {what.path}, but {objection}"

    def new(self, what: Global, args: Any) -> str:
        """Return why an instance may not be made by ``what.__new__``, or ""."""
        if what.kind is Kind.CLASS:
            if args == ():
                return ""
            if what.path in MADE_WITH:
                return MADE_WITH[what.path](args)
        return f"it makes an instance of {what.path} in a way that no model does"

    def build(self, made: Made, state: Any) -> str:
        """Return why ``made`` may not be given this state, or ""."""
        called = CALLED.get(made.of.path)
        return (called.state if called else any_state)(made, state)

    def fill(self, made: Made, shape: type) -> str:
        """Return why entries may not be added to ``made`` as to a list, dict or set, or ""."""
        called = CALLED.get(made.of.path)
        may = shape in called.fill if called else FILLED.get(made.of.path) is shape
        return "" if may else f"entries are added to {made.of.path}, which is no {shape.__name__}"
