"""Plain values from files, the environment and flags become attrs objects here, strictly.

Strict: nothing is coerced ("false" is no bool, 123 is no text), unknown keys are refused
with a did-you-mean, and every error is reported at once with the path of its key. Two
annotations refine a type: `Bytes` takes ``256MB``, `msgspec.Meta` gives bounds.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin

import attrs
import cattrs
import msgspec
from cattrs.errors import (
    AttributeValidationNote,
    ForbiddenExtraKeysError,
    IterableValidationError,
    IterableValidationNote,
)
from cattrs.gen import make_dict_structure_fn

from prism_core.errors import ConfigError
from prism_core.rates import Rate
from prism_core.sizes import Bytes, SizeMarker, parse_bytes
from prism_core.traffic.flaws import Flaw

__all__ = ["Bytes", "Key", "named", "parse_bytes", "structure", "structure_extension_config"]

T = TypeVar("T")
Key = tuple[str | int, ...]
Hook = Callable[[Any, Any], Any]


@attrs.frozen
class Problem:
    """One thing that is wrong: where, what, and what may have been meant."""

    key: Key
    message: str
    hint: str = ""


class Flawed(ValueError):
    """An object whose values do not go together: it says so itself, by its method ``flaws``."""

    def __init__(self, flaws: Iterable[Flaw]) -> None:
        super().__init__("its values do not go together.")
        self.flaws = tuple(flaws)


def structure(data: Any, cls: type[T], path: str = "", *, origins: Mapping[Key, str] | None = None) -> T:
    """Return ``data`` as a ``cls``.

    Parameters
    ----------
    path
        The key under which ``data`` stands, for instance ``plugins.podman``; "" at the top.
    origins
        Where the value of a key below ``data`` came from, for instance ``prism.yaml, line 3``.

    Raises
    ------
    ConfigError
        With every problem in ``details["errors"]``; the message tells the first.
    """
    try:
        return converter().structure(data, cls)
    except Exception as error:
        problems = list(_problems(error, ()))
        if not problems:
            raise
        raise config_error(problems, path, origins or {}) from error


def structure_extension_config(config_cls: type[T], data: Mapping[str, Any], name: str) -> T:
    """Return the configuration of the extension ``name``, from ``plugins.<name>`` of the settings."""
    return structure(data, config_cls, f"plugins.{name}")


def named(config: T, server_id: str, data_dir: str = "") -> T:
    """Tell a configuration whose it is, where it has a place for that which the settings leave empty.

    ``namespace`` keeps the servers that use one store apart; below ``data_dir`` lies what is kept.
    """
    told: Any = config
    for key, own in (("namespace", server_id), ("data_dir", data_dir)):
        if getattr(told, key, None) == "":
            told = attrs.evolve(told, **{key: own})
    return cast(T, told)


def config_error(problems: list[Problem], path: str, origins: Mapping[Key, str]) -> ConfigError:
    """Return all problems as one error, in the order in which their origins stand."""
    order = {key: place for place, key in enumerate(origins)}
    problems = sorted(problems, key=lambda problem: order.get(problem.key, len(order)))
    told = [_told(problem, path, origins) for problem in problems]
    more = f" And {len(told) - 1} more." if len(told) > 1 else ""
    return ConfigError(f"{told[0]['text']}{more}", hint=problems[0].hint, details={"errors": told})


def _told(problem: Problem, path: str, origins: Mapping[Key, str]) -> dict[str, str]:
    at = dotted((path, *problem.key) if path else problem.key)
    # A key that is missing has no place of its own: the one around it has.
    above = (problem.key[:length] for length in range(len(problem.key), 0, -1))
    origin = next((origins[key] for key in above if key in origins), "")
    text = ": ".join(part for part in (origin, at, problem.message) if part)
    return {"path": at, "origin": origin, "message": problem.message, "hint": problem.hint, "text": text}


def dotted(key: Key) -> str:
    """Return a key as people write it: ``models.churn.trust[0]``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key)
    return text.removeprefix(".")


# --- what went wrong ----------------------------------------------------------------------


def _problems(error: BaseException, key: Key) -> Iterator[Problem]:
    """Walk cattrs' tree of errors; the path of a problem is in the notes on the way."""
    if isinstance(error, ForbiddenExtraKeysError):
        known = [field.alias for field in attrs.fields(error.cl)]
        for name in sorted(error.extra_fields, key=str):
            yield Problem((*key, name), "there is no such key.", _suggestion(str(name), known))
    elif isinstance(error, Flawed):
        for flaw in error.flaws:
            yield Problem((*key, *flaw.key), flaw.message, flaw.hint)
    elif isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _problems(inner, (*key, *_step(inner)))
    elif isinstance(error, KeyError):
        yield Problem(key, "this key is required.")
    else:
        yield Problem(
            key,
            str(error) if isinstance(error, ValueError | TypeError) else repr(error),
        )


def _step(error: BaseException) -> Key:
    for note in getattr(error, "__notes__", ()):
        if isinstance(note, AttributeValidationNote):
            return (note.name,)
        if isinstance(note, IterableValidationNote):
            return (note.index,)
    return ()


def _suggestion(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"Known keys here: {', '.join(known)}." if known else "Nothing can be set here."


# --- the converter --------------------------------------------------------------------------


@functools.cache
def converter() -> cattrs.Converter:
    """Return the one converter."""
    made = cattrs.Converter(forbid_extra_keys=True)
    for cls, accepted in (
        (bool, (bool,)),
        (int, (int,)),
        (str, (str,)),
        (float, (int, float)),
    ):
        made.register_structure_hook(cls, _strict(cls, accepted))
    made.register_structure_hook(Path, lambda value, _: Path(_text(value)))
    made.register_structure_hook(Rate, _rate)
    for applies, factory in (
        (attrs.has, _attrs_hook),
        (_has_origin(tuple, list), _sequence_hook),
        (_has_origin(dict, Mapping), _mapping_hook),
        (_has_origin(Literal), _literal_hook),
        (_has_origin(Annotated), _annotated_hook),
        (_is_scalar_union, _scalar_union_hook),
    ):
        made.register_structure_hook_factory(applies, factory)
    return made


def _has_origin(*origins: Any) -> Callable[[Any], bool]:
    def applies(kind: Any) -> bool:
        return get_origin(kind) in origins

    return applies


def _strict(cls: Callable[[Any], Any], accepted: tuple[type, ...]) -> Hook:
    expected = getattr(cls, "__name__", str(cls))

    def hook(value: Any, _: Any) -> Any:
        if type(value) not in accepted:
            raise ValueError(f"expected {expected}, got {_shown(value)}.")
        return cls(value)

    return hook


def _text(value: Any) -> str:
    if not isinstance(value, str | Path):
        raise ValueError(f"expected a path, got {_shown(value)}.")
    return str(value)


def _rate(value: Any, _: Any) -> Rate:
    if not isinstance(value, str | Rate):
        raise ValueError(f"expected a rate such as 5/s, got {_shown(value)}.")
    return Rate.parse(value) if isinstance(value, str) else value


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return "a mapping"
    return f"{type(value).__name__} {value!r}"


def _attrs_hook(cls: type, made: cattrs.Converter) -> Hook:
    attrs.resolve_types(cls, include_extras=True)
    inner: Hook = make_dict_structure_fn(cls, made, _cattrs_forbid_extra_keys=True, _cattrs_use_alias=True)
    checked = hasattr(cls, "flaws")

    def hook(value: Any, target: Any) -> Any:
        if isinstance(value, cls):
            return value
        found = inner(_mapping(value), target)
        if checked and (flaws := tuple(found.flaws())):
            raise Flawed(flaws)
        return found

    return hook


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"expected a mapping of keys, got {_shown(value)}.")
    return value


def _sequence_hook(cls: Any, made: cattrs.Converter) -> Hook:
    element, build = get_args(cls)[0], get_origin(cls)

    def hook(value: Any, _: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise ValueError(f"expected a list, got {_shown(value)}.")
        return build(_each(enumerate(value), element, cls, made).values())

    return hook


def _mapping_hook(cls: Any, made: cattrs.Converter) -> Hook:
    _, element = get_args(cls)

    def hook(value: Any, _: Any) -> Any:
        for name in _mapping(value):
            if not isinstance(name, str):
                raise ValueError(f"keys are text, got {_shown(name)}; put it in quotes.")
        return _each(value.items(), element, cls, made)

    return hook


def _each(items: Any, element: Any, cls: Any, made: cattrs.Converter) -> dict[Any, Any]:
    found, errors = {}, []
    for index, value in items:
        try:
            found[index] = value if element is Any else made.structure(value, element)
        except Exception as error:
            error.add_note(IterableValidationNote(f"at {index}", index, element))
            errors.append(error)
    if errors:
        raise IterableValidationError(f"While structuring {cls}", errors, cls)
    return found


def _literal_hook(cls: Any, _: cattrs.Converter) -> Hook:
    choices = get_args(cls)

    def hook(value: Any, _: Any) -> Any:
        if value not in choices:
            raise ValueError(f"expected one of {', '.join(map(str, choices))}, got {_shown(value)}.")
        return value

    return hook


def _is_scalar_union(kind: Any) -> bool:
    """Tell a union such as ``int | str | None``, whose members YAML and JSON tell apart."""
    members = get_args(kind) if get_origin(kind) in (Union, UnionType) else ()
    return len(set(members) - {NoneType}) > 1 and all(
        member in (bool, int, str, NoneType) for member in members
    )


def _scalar_union_hook(cls: Any, _: cattrs.Converter) -> Hook:
    members = get_args(cls)
    expected = " or ".join(member.__name__ for member in members if member is not NoneType)

    def hook(value: Any, _: Any) -> Any:
        if type(value) not in members:
            raise ValueError(f"expected {expected}, got {_shown(value)}.")
        return value

    return hook


def _annotated_hook(cls: Any, made: cattrs.Converter) -> Hook:
    base, *refinements = get_args(cls)

    def hook(value: Any, _: Any) -> Any:
        if any(isinstance(r, SizeMarker) for r in refinements) and isinstance(value, str):
            value = parse_bytes(value)
        value = made.structure(value, base)
        for refinement in refinements:
            if isinstance(refinement, msgspec.Meta):
                _check(value, refinement)
        return value

    return hook


def _check(value: Any, bounds: msgspec.Meta) -> None:
    tests = (
        (bounds.ge is not None and not value >= bounds.ge, f"at least {bounds.ge}"),
        (bounds.gt is not None and not value > bounds.gt, f"more than {bounds.gt}"),
        (bounds.le is not None and not value <= bounds.le, f"at most {bounds.le}"),
        (
            bounds.pattern is not None and not re.search(bounds.pattern or "", str(value)),
            f"like {bounds.pattern}",
        ),
    )
    for wrong, expected in tests:
        if wrong:
            raise ValueError(f"must be {expected}, got {value!r}.")
