"""What a pickle says of the packages that wrote it, noticed while it is walked as for the audit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO

from prism_sklearn.audit.admitted import Admitted
from prism_sklearn.audit.judging import Auditor
from prism_sklearn.audit.machine import Machine
from prism_sklearn.audit.source import Source
from prism_sklearn.audit.values import Global, Items, Made

SKLEARN_VERSION = "_sklearn_version"
# A release as an index has it, and nothing else: what a file says goes no further unless it is one.
RELEASE = re.compile(r"[0-9]{1,4}(?:\.[0-9]{1,5}){1,3}(?:(?:a|b|rc)[0-9]{1,3})?(?:\.post[0-9]{1,3})?")
_END_BYTES = 128
_MOST = 1000

# Where boosters keep what their library writes, and how that says its version: xgboost as UBJSON or, before
# version 2, as JSON, at its end; lightgbm as text, at its beginning.
_XGBOOST = (
    re.compile(rb"version\[#L\0{7}\x03i([\0-\x7f])i([\0-\x7f])i([\0-\x7f])\}*\Z", re.DOTALL),
    re.compile(rb'"version":\[([0-9]{1,3}),([0-9]{1,3}),([0-9]{1,3})\]\}*\Z'),
)
_LIGHTGBM = re.compile(rb"tree\r?\nversion=v([0-9])\r?\n")


class Notes:
    """What was noticed.

    Attributes
    ----------
    modules
        By module the first name that was looked up in it.
    sklearn
        What objects call the version of scikit-learn that saved them, any text; by it the last that did,
        which of objects in one another is the outermost.
    xgboost
        A release, or "".
    lightgbm
        The number of lightgbm's format of models, or "".
    """

    def __init__(self) -> None:
        self.modules: dict[str, str] = {}
        self.sklearn: dict[str, str] = {}
        self.xgboost = ""
        self.lightgbm = ""

    def name(self, module: str, name: str) -> None:
        """Note that a name is used."""
        if module not in self.modules and len(self.modules) < _MOST:
            self.modules[module] = f"{module}.{name}"

    def version(self, said: Any, by: str) -> None:
        """Note what an object says of scikit-learn's version."""
        if isinstance(said, str) and (said in self.sklearn or len(self.sklearn) < _MOST):
            self.sklearn[said] = by


class Ends(Source):
    """A source that keeps the beginning and the end of the last long value that it passed over."""

    def __init__(self, stream: BinaryIO, size: int | None) -> None:
        super().__init__(stream, size)
        self.first = self.last = b""

    def skip(self, count: int) -> None:
        """Pass over ``count`` bytes."""
        if count < 2 * _END_BYTES:
            super().skip(count)
            return
        self.first = self.take(_END_BYTES)
        super().skip(count - 2 * _END_BYTES)
        self.last = self.take(_END_BYTES)


class Noticing(Auditor):
    """Judges as the audit does, and takes notes."""

    def __init__(self, admitted: Admitted) -> None:
        super().__init__(admitted)
        self.notes = Notes()

    def name(self, module: str, name: str, offset: int) -> Global:
        """Return what stands for a name."""
        self.notes.name(module, name)
        return super().name(module, name, offset)

    def built(self, machine: Machine, made: Made) -> Any:
        """Return what takes the place of ``made``."""
        path = made.of.path
        if path == "xgboost.core.Booster":
            self._xgboost(machine.source)
        elif path == "lightgbm.basic.Booster":
            self._lightgbm(machine.source)
        elif isinstance(made.state, Items):
            self.notes.version(made.state.last_of(SKLEARN_VERSION), path)
        return super().built(machine, made)

    def _xgboost(self, source: Source) -> None:
        last = source.last if isinstance(source, Ends) else b""
        packed, text = (form.search(last) for form in _XGBOOST)
        numbers = [ord(one) for one in packed.groups()] if packed else text and map(int, text.groups())
        self.notes.xgboost = ".".join(map(str, numbers or ())) or self.notes.xgboost

    def _lightgbm(self, source: Source) -> None:
        found = _LIGHTGBM.match(source.first) if isinstance(source, Ends) else None
        self.notes.lightgbm = found[1].decode() if found else self.notes.lightgbm


def note_schema(notes: Notes, nodes: Iterable[dict[str, Any]]) -> None:
    """Note what the nodes of a skops file say.

    Parameters
    ----------
    nodes
        As `prism_sklearn.audit.schema.nodes` yields them.
    """
    for node in nodes:
        module, name, content = (node.get(key) for key in ("__module__", "__class__", "content"))
        if isinstance(module, str) and isinstance(name, str):
            notes.name(module, name)
            state = content.get("content") if isinstance(content, Mapping) else None
            said = state.get(SKLEARN_VERSION) if isinstance(state, Mapping) else None
            text = said.get("content") if isinstance(said, Mapping) else None
            version = text.strip('"') if isinstance(text, str) else None  # as JSON, within the JSON
            if version not in notes.sklearn:  # the outermost comes first here
                notes.version(version, f"{module}.{name}")
