"""What arguments and states of a call may be: what a pickler writes, and nothing that does more.

No size that reserves memory, no callable that would be called in turn. A rule returns what is wrong, or "".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prism_sklearn.audit import arrays
from prism_sklearn.audit.values import OPAQUE, Global, Items, Kind, Made, Raw

Rule = Callable[[tuple[Any, ...]], str]
StateRule = Callable[[Made, Any], str]

_BASES = ("object", "dict", "list", "tuple", "set", "frozenset", "int", "float", "str", "bytes")
_BIT_GENERATORS = tuple(
    f"numpy.random.{path}"
    for path in ("_mt19937.MT19937", "_pcg64.PCG64", "_pcg64.PCG64DXSM", "_philox.Philox", "_sfc64.SFC64")
)
RANDOM = "numpy.random._pickle."
CHECKED = "sklearn.utils.validation.check_array"


def any_state(made: Made, state: Any) -> str:
    """Accept a state: the class itself says what it does with it."""
    return ""


def no_state(made: Made, state: Any) -> str:
    """Refuse a state."""
    return f"the result of {made.of.path} is given a state, and never has one"


def _data(value: Any) -> bool:
    """Tell whether ``value`` is a plain one: a number, a text, bytes, nothing; or a tuple of some."""
    if isinstance(value, tuple):
        return len(value) < 64 and all(not isinstance(one, tuple) and _data(one) for one in value)
    return (
        value is None
        or value is OPAQUE
        or isinstance(value, int | str | bytes | Raw)
        or _is_made(value, "_codecs.encode")
    )


def _is_made(value: Any, *paths: str) -> bool:
    return isinstance(value, Made) and value.of.path in paths


def plain(*counts: int) -> Rule:
    """Accept so many plain values."""

    def rule(args: tuple[Any, ...]) -> str:
        return "" if len(args) in counts and all(map(_data, args)) else "its arguments are no plain values"

    return rule


def texts(args: tuple[Any, ...]) -> str:
    """Accept a text and the one encoding in which bytes are written as texts."""
    right = len(args) == 2 and args[1] == "latin1" and (args[0] is OPAQUE or isinstance(args[0], str))
    return "" if right else "it encodes by something else than latin1"


def content(args: tuple[Any, ...]) -> str:
    """Accept bytes; a number would be how many to reserve."""
    right = len(args) == 1 and (isinstance(args[0], bytes | Raw) or _is_made(args[0], "_codecs.encode"))
    return "" if right else "its argument is not bytes"


def entries(*shapes: type) -> Rule:
    """Accept nothing, or a list or dict that the file holds."""

    def rule(args: tuple[Any, ...]) -> str:
        right = not args or (len(args) == 1 and isinstance(args[0], Items) and args[0].shape in shapes)
        return "" if right else "its argument is no list or dict"

    return rule


def dates(args: tuple[Any, ...]) -> str:
    """Accept plain values and parts of dates."""
    parts = ("datetime.timezone", "datetime.timedelta")
    return "" if all(_data(arg) or _is_made(arg, *parts) for arg in args) else "its arguments are no date"


def queue(args: tuple[Any, ...]) -> str:
    """Accept the arguments of an empty queue."""
    return (
        ""
        if len(args) in (1, 2) and args[0] == () and all(map(_data, args))
        else "its arguments are no queue's"
    )


def default(args: tuple[Any, ...]) -> str:
    """Accept a built-in type that makes the default, or an ordered dict, as lightgbm has."""
    types = (*(f"builtins.{name}" for name in _BASES), "collections.OrderedDict")
    made = arrays.is_global(args[0], *types) if len(args) == 1 else False
    return "" if made else "its default is not made by a built-in type"


def instance(args: tuple[Any, ...]) -> str:
    """Accept an admitted class and a built-in base."""
    if len(args) != 3 or not isinstance(args[0], Global) or not isinstance(args[1], Global):
        return "it makes an instance of what is no class"
    base = args[1].path.removeprefix("builtins.")
    if args[0].kind in (Kind.VALUE, Kind.CALLED) or base not in _BASES:
        return f"it makes an instance of {args[0].path}, of which a model holds none"
    return (
        ""
        if args[2] is None or isinstance(args[2], Items) or _data(args[2])
        else "its base is given no plain value"
    )


def named(*paths: str, more: int = 0) -> Rule:
    """Accept one of these names, and plain values or made ones after it."""

    def rule(args: tuple[Any, ...]) -> str:
        right = len(args) > 0 and arrays.is_global(args[0], *paths) and len(args) <= 1 + more
        return (
            "" if right and all(map(_held, args[1:])) else "its first argument is another name than it takes"
        )

    return rule


def within(prefix: str, *, more: int) -> Rule:
    """Accept an admitted name below ``prefix``, and plain values or made ones after it."""

    def rule(args: tuple[Any, ...]) -> str:
        right = len(args) > 0 and isinstance(args[0], Global) and args[0].path.startswith(prefix)
        right = right and args[0].kind is not Kind.CALLED and len(args) <= 1 + more
        return (
            "" if right and all(map(_held, args[1:])) else "its first argument is another name than it takes"
        )

    return rule


def held(*counts: int) -> Rule:
    """Accept so many values, made or plain, and no name."""

    def rule(args: tuple[Any, ...]) -> str:
        return "" if len(args) in counts and all(map(_held, args)) else "its arguments are names"

    return rule


def text_type(args: tuple[Any, ...]) -> str:
    """Accept where texts are kept and what stands for a missing one."""
    kept = 1 <= len(args) <= 2 and _data(args[0])
    missing = all(
        _data(arg) or arrays.is_global(arg, "pandas.NA", "pandas._libs.missing.NA") for arg in args[1:]
    )
    return "" if kept and missing else "it is no type of texts"


def _held(value: Any) -> bool:
    return _data(value) or isinstance(value, Made | Items | tuple)


def generator(args: tuple[Any, ...]) -> str:
    """Accept a bit generator by name, class or made, and the function that makes one."""
    first = args[0] if args else None
    known = (
        isinstance(first, str)
        or arrays.is_global(first, *_BIT_GENERATORS)
        or _is_made(first, f"{RANDOM}__bit_generator_ctor")
    )
    right = known and all(arrays.is_global(arg, f"{RANDOM}__bit_generator_ctor") for arg in args[1:])
    return "" if right and len(args) <= 2 else "it makes a random generator of something else"


def masked(args: tuple[Any, ...]) -> str:
    """Accept the classes of an empty masked array."""
    right = len(args) == 4 and arrays.is_global(args[1], "numpy.ndarray")
    return arrays.empty_array((args[0], *args[2:])) if right else "it is no masked array of numpy's"


def checked(made: Made, state: Any) -> str:
    """Accept the one function that scikit-learn holds with arguments filled in."""
    right = isinstance(state, tuple) and len(state) == 4 and arrays.is_global(state[0], CHECKED)
    return "" if right else "it fills in the arguments of another function than check_array"
