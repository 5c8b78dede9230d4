"""What stands for the objects that a pickle would make: enough to judge what is done with them."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any

# Of a dict so many keys and values are remembered; what is looked at, as a data type's fields, has fewer.
REMEMBERED = 64


class Kind(Enum):
    """What may be done with a name.

    CLASS: instances are made without arguments and given their state. CALLED: it may be called as the
    pickle is loaded, with arguments that its rule accepts. VALUE: it may be held by a model, and
    is not called as it is loaded. TRUSTED: the owner's word stands for all. UNKNOWN: it is in no list.
    """

    CLASS = "class"
    CALLED = "called"
    VALUE = "value"
    TRUSTED = "trusted"
    UNKNOWN = "unknown"

    @property
    def judged(self) -> bool:
        """Whether rules are held against it; what is unknown is reported already."""
        return self not in (Kind.TRUSTED, Kind.UNKNOWN)


class Global:
    """A name that was looked up."""

    __slots__ = ("kind", "path")

    def __init__(self, path: str, kind: Kind) -> None:
        self.path = path
        self.kind = kind


class Made:
    """What calling or instantiating a name returned."""

    __slots__ = ("args", "built", "of", "state")

    def __init__(self, of: Global, args: Any) -> None:
        self.of = of
        self.args = args
        self.state: Any = None
        self.built = False


class Opaque:
    """A value that nobody looks at."""

    __slots__ = ()


class Raw:
    """Bytes of a length."""

    __slots__ = ("size",)

    def __init__(self, size: int) -> None:
        self.size = size


class Items:
    """A list, dict or set: how many values it got, and of a dict the first keys and values, and the last."""

    __slots__ = ("count", "first", "last", "shape")

    def __init__(self, shape: type, values: Sequence[Any] = ()) -> None:
        self.shape = shape
        self.count = 0
        self.first: tuple[Any, ...] = ()
        self.last: Sequence[Any] = ()
        self.add(values)

    def add(self, values: Sequence[Any]) -> None:
        """Add values; for a dict keys and values in turn."""
        self.count += len(values)
        if self.shape is dict:
            self.last = values[-2:]
            if len(self.first) < REMEMBERED:
                self.first += tuple(values[: REMEMBERED - len(self.first)])

    def last_of(self, key: str) -> Any:
        """Return the value that a dict has under ``key``, if that came last; else None."""
        return self.last[1] if len(self.last) == 2 and self.last[0] == key else None

    def named(self) -> dict[str, Any] | None:
        """Return a dict whose keys are texts, None where it is another or too large to be remembered."""
        if self.shape is not dict or self.count != len(self.first):
            return None
        keys, values = self.first[::2], self.first[1::2]
        if not all(isinstance(key, str) for key in keys):
            return None
        return dict(zip(keys, values, strict=True))


OPAQUE = Opaque()
