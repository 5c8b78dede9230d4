"""What opcodes work on: a stack, a memo, stand-ins. It looks up nothing, calls nothing, makes nothing.

What it refuses is what no pickler writes, so that every unpickler sees the same: each name with its
place, each call held against the rules of what is called.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from prism_sklearn.audit.source import Refused, Source
from prism_sklearn.audit.values import Global, Items, Made

_INDEX = re.compile(rb"[0-9]{1,10}")
_NAME = re.compile(r"[\w<>]+(?:\.[\w<>]+)*")


class Judge(ABC):
    """Decides on names and on what is done with them; the machine only says what happens."""

    @abstractmethod
    def name(self, module: str, name: str, offset: int) -> Global:
        """Return what stands for a name."""

    @abstractmethod
    def call(self, what: Global, args: Any) -> str:
        """Return why ``what`` may not be called with ``args``, or ""."""

    @abstractmethod
    def new(self, what: Global, args: Any) -> str:
        """Return why an instance may not be made by ``what.__new__``, or ""."""

    @abstractmethod
    def build(self, made: Made, state: Any) -> str:
        """Return why ``made`` may not be given this state, or ""."""

    @abstractmethod
    def fill(self, made: Made, shape: type) -> str:
        """Return why entries may not be added to ``made`` as to a list, dict or set, or ""."""

    def made(self, what: Global, args: Any) -> Made:
        """Return what stands for the result of a call."""
        return Made(what, args)

    def built(self, machine: Machine, made: Made) -> Any:
        """Return what takes the place of ``made``; what follows it in the stream may be read."""
        return made


class Machine:
    """The state of one pickle that is being walked; `prism_sklearn.audit.opcodes.run` walks."""

    def __init__(self, source: Source, judge: Judge) -> None:
        self.source = source
        self.judge = judge
        self.at = source.offset
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def refuse(self, what: str) -> None:
        """Raise, if ``what`` is not ""."""
        if what:
            raise Refused(self.at, what)

    def pop(self) -> Any:
        """Take the last value."""
        return self.stack.pop()

    def since_mark(self) -> list[Any]:
        """Take what lies above the last mark."""
        above = self.stack
        self.stack = self.marks.pop()
        return above

    def index(self) -> int:
        """Return the number of a memo entry that is written as text."""
        text = self.source.line()
        if text is None or not _INDEX.fullmatch(text):
            raise Refused(self.at, "a memo is asked for by what is no number")
        return int(text)

    def put(self, index: int) -> None:
        """Remember the last value. Unpicklers reserve memory up to ``index``, which a file cannot need."""
        if index > self.source.offset:
            raise Refused(self.at, f"memo entry {index} of fewer bytes: memory is to be exhausted")
        self.memo[index] = self.stack[-1]

    def get(self, index: int) -> None:
        """Put a remembered value."""
        if index not in self.memo:
            raise Refused(self.at, f"memo entry {index} is used and was never made")
        self.stack.append(self.memo[index])

    def find(self, module: Any, name: Any) -> None:
        """Put what stands for a name."""
        if not isinstance(module, str) or not isinstance(name, str):
            raise Refused(self.at, "a name is looked up that is no text, or is too long for one")
        if not _NAME.fullmatch(module) or not _NAME.fullmatch(name):
            raise Refused(self.at, f"{module[:80]!r}, {name[:80]!r} is no name")
        self.stack.append(self.judge.name(module, name, self.at))

    def call(self, what: Any, args: Any, judge: Callable[[Global, Any], str]) -> None:
        """Put what stands for the result of a call."""
        if isinstance(what, Made) and not what.of.kind.judged:
            what = what.of
        if not isinstance(what, Global):
            raise Refused(self.at, "something is called that is no name, such as the result of a call")
        if what.kind.judged:
            if not isinstance(args, tuple):
                raise Refused(self.at, f"{what.path} is called with what are no arguments")
            self.refuse(judge(what, args))
        self.stack.append(self.judge.made(what, args))

    def build(self) -> None:
        """Give the last value but one its state."""
        state = self.pop()
        made = self.stack[-1]
        if isinstance(made, Global) and not made.kind.judged:
            return
        if not isinstance(made, Made):
            raise Refused(self.at, "what no call has made is given a state, such as a class")
        if made.of.kind.judged:
            if made.built:
                raise Refused(self.at, f"{made.of.path} is given a state twice")
            self.refuse(self.judge.build(made, state))
        made.state, made.built = state, True
        self.stack[-1] = self.judge.built(self, made)

    def fill(self, shape: type, values: list[Any]) -> None:
        """Add values to the last one."""
        into = self.stack[-1]
        if isinstance(into, Items) and into.shape is shape:
            if shape is dict and len(values) % 2:
                raise Refused(self.at, "a dict gets a key without a value")
            into.add(values)
        elif isinstance(into, Made):
            if into.of.kind.judged:
                self.refuse(self.judge.fill(into, shape))
        else:
            raise Refused(self.at, f"entries are added to what is no {shape.__name__}")
