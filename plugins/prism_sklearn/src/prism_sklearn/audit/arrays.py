"""What numpy's types and arrays say of themselves, and whether it can be true.

numpy believes what a pickle says: a data type of objects that claims to hold none turns
bytes of the file into pointers, and a list that is shorter than its array is read beyond its end.
"""

from __future__ import annotations

import math
import re
from typing import Any

import attrs

from prism_sklearn.audit.values import Global, Items, Made

DTYPE = "numpy.dtype"
ARRAYS = (
    *("numpy.ndarray", "numpy.matrix", "numpy.memmap", "numpy.recarray"),
    *("numpy.ma.MaskedArray", "numpy.ma.core.MaskedArray"),  # as numpy 2 calls it, and numpy 1
)
SCALAR = "numpy._core.multiarray.scalar"
# All that numpy writes; what other texts mean to it, no pickle of its own says.
_CODE = re.compile(r"[|<>=]?(b1|[iu][1248]|f(?:2|4|8|12|16)|c(?:8|16|24|32)|[Mm]8|O8?|[SUV]\d{1,9})")
# Flags of what holds objects, and of what holds none: the high bit says that a struct is aligned.
_OF_OBJECTS = (0x1B, 0x9B)
_OF_NONE = (0x00, 0x08, 0x10, 0x18, 0x80, 0x88, 0x90, 0x98)
_OBJECT = 0x3F


@attrs.frozen
class Shape:
    """How many bytes an element has, and whether it holds objects."""

    itemsize: int
    objects: bool


def dtype_of(value: Any) -> Shape | None:
    """Return what a data type amounts to, None where ``value`` is none that can be judged."""
    if not isinstance(value, Made) or value.of.path != DTYPE:
        return None
    shape = _coded(value.args)
    # Its state was held against the code when it was given: it cannot differ in size.
    return attrs.evolve(shape, objects=bool(value.state[7] & 1)) if shape and value.built else shape


def dtype_args(args: tuple[Any, ...]) -> str:
    """Return what is wrong with the arguments of a data type."""
    flags = all(type(flag) in (bool, int) for flag in args[1:])
    return "" if _coded(args) and flags and len(args) <= 3 else "a data type is none that numpy writes"


def dtype_state(made: Made, state: Any) -> str:
    """Return what is wrong with the state of a data type."""
    coded = _coded(made.args)
    if coded is None or not isinstance(state, tuple) or not 8 <= len(state) <= 9:
        return "the state of a data type is none that numpy writes"
    _, _, sub, names, fields, itemsize, alignment, flags = state[:8]
    if not all(type(number) is int for number in (itemsize, alignment, flags)):
        return "the state of a data type is none that numpy writes"
    if itemsize not in (-1, coded.itemsize):
        return "a data type says two sizes of itself"
    if coded.objects:
        return (
            ""
            if flags == _OBJECT and sub is names is fields is None
            else "a data type of objects claims to hold none"
        )
    inner = _parts(sub, names, fields, coded.itemsize)
    if isinstance(inner, str):
        return inner
    allowed = _OF_OBJECTS if any(part.objects for part in inner) else _OF_NONE
    return "" if flags in allowed else "a data type says wrongly whether it holds objects"


def _parts(sub: Any, names: Any, fields: Any, itemsize: int) -> list[Shape] | str:
    """Return the data types inside one, or what is wrong with them."""
    if sub is not None:
        base = dtype_of(sub[0]) if isinstance(sub, tuple) and len(sub) == 2 else None
        counts = (sub[1],) if base and type(sub[1]) is int else sub[1] if base else None
        if base is None or count_of(counts) * base.itemsize != itemsize:
            return "a data type of arrays does not add up"
        return [base]
    if names is None and fields is None:
        return []
    known = fields.named() if isinstance(fields, Items) else None
    if known is None or not isinstance(names, tuple) or not known:
        return "the fields of a data type are none that numpy writes"
    found = []
    for field in known.values():
        part = dtype_of(field[0]) if isinstance(field, tuple) and len(field) >= 2 else None
        if part is None or type(field[1]) is not int or not 0 <= field[1] <= itemsize - part.itemsize:
            return "a field of a data type lies outside of it"
        found.append(part)
    return found


def array_state(made: Made, state: Any) -> str:
    """Return what is wrong with the state of an array: version, shape, data type, order, content."""
    if not isinstance(state, tuple) or len(state) != 5:
        return "the state of an array is none that numpy writes"
    return _content(state[1], state[2], state[4])


def masked_state(made: Made, state: Any) -> str:
    """Return what is wrong with the state of a masked array: as of an array, then mask and fill value."""
    return array_state(made, state[:5] if isinstance(state, tuple) and len(state) == 7 else None)


def _content(shape: Any, dtype: Any, content: Any) -> str:
    element, count = dtype_of(dtype), count_of(shape)
    if element is None or count < 0:
        return "an array has a shape or data type that numpy does not write"
    if element.objects:
        listed = isinstance(content, Items) and content.shape is list and content.count == count
        return "" if listed else f"an array of {count} objects brings another number of them"
    # Before protocol 3 bytes are written as a text, or as none; numpy compares the lengths then.
    size = len(content) if isinstance(content, bytes) else getattr(content, "size", None)
    encoded = isinstance(content, Made) and content.of.path in ("_codecs.encode", "builtins.bytes")
    right = encoded or size == count * element.itemsize
    return "" if right else "an array brings another number of bytes than it says"


def empty_array(args: tuple[Any, ...]) -> str:
    """Return what is wrong with the arguments of an array that gets its content later."""
    right = len(args) in (3, 4) and is_global(args[0], *ARRAYS) and args[-2] == (0,)
    return "" if right else "an array is made with a size, or of a class that is none of numpy's"


def scalar_args(args: tuple[Any, ...]) -> str:
    """Return what is wrong with a number of numpy's: a data type and its bytes."""
    element = dtype_of(args[0]) if len(args) == 2 else None
    right = element is not None and not element.objects
    return "" if right else "a number of numpy's has a data type that no number has"


def buffer_args(args: tuple[Any, ...]) -> str:
    """Return what is wrong with an array over a buffer: the buffer, data type, shape and order."""
    element = dtype_of(args[1]) if len(args) in (4, 5) else None
    if element is None or element.objects:
        return "an array over a buffer holds objects, or is none that numpy writes"
    return _content(args[2], args[1], args[0])


def count_of(shape: Any) -> int:
    """Return how many elements an array of ``shape`` has, -1 where that is no shape."""
    if not isinstance(shape, tuple) or len(shape) > 64:
        return -1
    sizes = [size if type(size) is int else _number(size) for size in shape]
    return math.prod(sizes) if all(size >= 0 for size in sizes) else -1


def _number(value: Any) -> int:
    """Return a whole number of numpy's, -1 for anything else."""
    if not isinstance(value, Made) or value.of.path != SCALAR:
        return -1
    content = value.args[1]
    return int.from_bytes(content, "little") if isinstance(content, bytes) and len(content) <= 8 else -1


def _coded(args: Any) -> Shape | None:
    code = args[0] if isinstance(args, tuple) and args and isinstance(args[0], str) else ""
    found = _CODE.fullmatch(code)
    if found is None:
        return None
    letter, size = found.group(1)[0], int(found.group(1)[1:] or 8)
    return Shape(size * 4 if letter == "U" else size, letter == "O")


def is_global(value: Any, *paths: str) -> bool:
    """Tell whether ``value`` is one of these names."""
    return isinstance(value, Global) and value.path in paths
