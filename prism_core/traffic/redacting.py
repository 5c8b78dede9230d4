"""Take values out of JSON bodies so that they stay bodies which a model reads.

A value is named by a key, by a column or by an input, wherever a body says it: in records, columns, split
tables, V1's instances and V2's inputs. Where a table has no names in it, its places have those of the model's
signature. What cannot be told to be free of a name is not kept at all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from hashlib import blake2b
from typing import Any
from urllib.parse import parse_qsl, urlencode

import attrs
import msgspec

from prism_core.types import Signature, TensorSpec

# Values of other media types are not told by names; a text model's text may look like JSON.
_READ_AS_OTHERS = ("text/", "image/", "audio/", "video/")
# A larger one is decoded and written in more than a few milliseconds, in which nobody else is.
MAX_BYTES = 256 * 1024
# What is beside the values in bodies that are otherwise without names.
_BESIDE = frozenset({"id", "parameters", "outputs", "signature_name"})
# A key that says how a value is written, not what it is.
_NOTATION = frozenset({"b64"})
VALUES = ("input", "inputs", "instances")


class Unredactable(Exception):
    """It cannot be told where the values are that must not be kept."""


@attrs.frozen
class Layout:
    """What a model calls the places of what it takes.

    ``row`` are the names of a row that is sent without names; ``columns`` are those of each input's last
    axis, its own name where that is one value. () where nobody knows.
    """

    row: tuple[str, ...] = ()
    columns: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)

    @classmethod
    def of(cls, signature: Signature | None) -> Layout:
        """Return the layout that a signature tells."""
        if signature is None:
            return cls()
        columns = {spec.name: _names_in(spec) for spec in signature.inputs}
        if signature.columnar:
            return cls(tuple(columns), columns)
        return cls(next(iter(columns.values())) if len(columns) == 1 else (), columns)


def _names_in(spec: TensorSpec) -> tuple[str, ...]:
    alone = len(spec.shape) < 2 or (len(spec.shape) == 2 and spec.shape[1] == 1)
    return spec.columns or ((spec.name,) if alone else ())


class Redactor:
    """Takes the values of ``names`` out of bodies.

    Parameters
    ----------
    names
        Upper and lower case are the same.
    key
        Of the hash that stands for a text: equal texts stay equal, and nobody who has not the key finds out
        by trying which text it was.
    """

    def __init__(self, names: Collection[str], key: bytes) -> None:
        self._names = frozenset(map(str.casefold, names))
        self._key = key

    def body(self, body: bytes, media_type: str, signature: Signature | None) -> bytes:
        """Return ``body`` without the values.

        Raises
        ------
        Unredactable
            If it is not JSON, or a table of which nobody says what its columns are.
        """
        if media_type.lower().startswith(_READ_AS_OTHERS):
            raise Unredactable("not JSON")
        try:
            document = msgspec.json.decode(body)
            if not isinstance(document, dict | list):
                raise Unredactable("not JSON")
            return msgspec.json.encode(self._document(document, Layout.of(signature)))
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise Unredactable("not JSON") from error

    def query(self, query: str) -> str:
        """Return a query string without the values."""
        pairs = parse_qsl(query, keep_blank_values=True)
        if not any(self._named(name) for name, _ in pairs):
            return query
        return urlencode([(name, self._hide(value) if self._named(name) else value) for name, value in pairs])

    # --- where they are ----------------------------------------------------------------------

    def _named(self, name: object) -> bool:
        return isinstance(name, str) and name.casefold() in self._names

    def _document(self, document: Any, layout: Layout) -> Any:
        if not isinstance(document, dict):
            return self._value(document, layout)
        return {
            name: self._value(value, layout) if name in VALUES else self._by_key(name, value, layout)
            for name, value in document.items()
        }

    def _value(self, value: Any, layout: Layout) -> Any:
        """Return what stands for all inputs together."""
        if isinstance(value, dict) or _are_records(value):
            return self._walk(value, layout)
        hidden = len(layout.columns) == 1 and self._named(next(iter(layout.columns)))
        return self._hide(value) if hidden else self._places(value, layout.row, layout)

    def _walk(self, value: Any, layout: Layout) -> Any:
        if isinstance(value, list):
            return [self._walk(one, layout) for one in value]
        if not isinstance(value, dict):
            return value
        if _is_tensor(value):
            return self._tensor(value, layout)
        if isinstance(value.get("columns"), list) and isinstance(value.get("data"), list):
            value = {**value, "data": self._places(value["data"], value["columns"], layout)}
        return {name: self._by_key(name, one, layout) for name, one in value.items()}

    def _by_key(self, name: str, value: Any, layout: Layout) -> Any:
        if self._named(name):
            return self._hide(value)
        if name in layout.columns and isinstance(value, list):
            return self._places(value, layout.columns[name], layout)
        return self._walk(value, layout)

    def _tensor(self, tensor: dict[str, Any], layout: Layout) -> dict[str, Any]:
        """Return an input of V2, whose values may stand one after the other."""
        name, data = tensor["name"], tensor["data"]
        names = layout.columns.get(name, layout.row)
        hidden = self._hide(data) if self._named(name) else self._places(data, names, layout)
        rest = {key: one for key, one in tensor.items() if key not in ("name", "data")}
        return {"name": name, **self._walk(rest, Layout()), "data": hidden}

    def _places(self, value: Any, names: Sequence[Any], layout: Layout) -> Any:
        """Return a table, a row or the values of a table one after the other; ``names`` are its columns."""
        if not names and self._names - _BESIDE:
            raise Unredactable("a table without names")
        hidden = [self._named(name) for name in names]
        return self._walk(self._by_place(value, hidden) if any(hidden) else value, layout)

    def _by_place(self, value: Any, hidden: list[bool]) -> Any:
        if not isinstance(value, list):
            return self._hide(value)
        nested = [isinstance(one, list) for one in value]
        if all(nested) and not _is_one_row(value, len(hidden)):
            return [self._by_place(row, hidden) for row in value]
        if len(value) % len(hidden) or (any(nested) and len(value) != len(hidden)):
            raise Unredactable("rows of several kinds")
        return [self._hide(one) if hidden[at % len(hidden)] else one for at, one in enumerate(value)]

    # --- what stands for them ----------------------------------------------------------------

    def _hide(self, value: Any) -> Any:
        """Return what stands for ``value``: of the same form and type."""
        if isinstance(value, list):
            return [self._hide(one) for one in value]
        if isinstance(value, dict):
            return {self._key_of(name): self._hide(one) for name, one in value.items()}
        if isinstance(value, str):
            return self._text(value)
        return None if value is None else type(value)(0)

    def _key_of(self, name: str) -> str:
        return name if name in _NOTATION else self._text(name)

    def _text(self, text: str) -> str:
        if _is_number(text):
            return "0"
        return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8, key=self._key).hexdigest()


def _is_tensor(value: dict[str, Any]) -> bool:
    return (
        isinstance(value.get("name"), str) and "data" in value and ("datatype" in value or "shape" in value)
    )


def _are_records(value: Any) -> bool:
    if not isinstance(value, list) or not any(isinstance(one, dict) for one in value):
        return False
    if not all(isinstance(one, dict) for one in value):
        raise Unredactable("rows of several kinds")
    return True


def _is_one_row(value: list[Any], width: int) -> bool:
    """Return whether lists are the places of one row, each with its value in brackets, and not rows."""
    return width > 1 and len(value) == width and all(len(one) == 1 for one in value)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
