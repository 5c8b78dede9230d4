"""Which facts of a request a rule names, found in its text: what it does not name is not looked up for it.

Of a map, such as the headers, it is often some keys alone: ``header["x-country"]``, ``features.age``,
``"beta" in cookie``. Where it is not clear it is the whole map.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

# Strings of CEL may be raw or bytes, and long ones have three quotes. What is no token is for the compiler.
_TOKEN = re.compile(
    r"""(?P<skipped>\s+|//[^\n]*)
    |(?P<text>[rRbB]{0,2}(?:\"{3}.*?\"{3}|'{3}.*?'{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
    |(?P<word>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<sign>.)""",
    re.VERBOSE | re.DOTALL,
)

# None: all keys.
Keys = frozenset[str] | None


def mentions(text: str, names: Collection[str]) -> Mapping[str, Keys]:
    """Return which of ``names`` an expression refers to, each with the keys that it asks it for."""
    tokens = list(_tokens(text))
    found: dict[str, Keys] = {}
    for at, token in enumerate(tokens):
        # After a dot it is a field, or a function, of something else.
        if token in names and tokens[at - 1 : at] != ["."]:
            key, known = _key(tokens, at), found.get(token, frozenset())
            found[token] = None if key is None or known is None else known | {key}
    return found


def last_texts(text: str, function: str) -> Iterator[str]:
    """Yield what a function is given last, as it is written, wherever that is one text: ``"10.0.0.0/8"``."""
    tokens = list(_tokens(text))
    for at, token in enumerate(tokens[:-1]):
        if token == function and tokens[at + 1] == "(":
            end = _closing(tokens, at + 1)
            if tokens[end - 1][-1:] in ("'", '"') and tokens[end - 2] in ("(", ","):
                yield tokens[end - 1]


def _closing(tokens: Sequence[str], at: int) -> int:
    depth = 0
    for end in range(at, len(tokens)):
        depth += (tokens[end] in ("(", "[", "{")) - (tokens[end] in (")", "]", "}"))
        if not depth:
            return end
    return len(tokens) - 1


def _tokens(text: str) -> Iterator[str]:
    for match in _TOKEN.finditer(text):
        if match.lastgroup != "skipped":
            yield match.group()


def _key(tokens: Sequence[str], at: int) -> str | None:
    """Return the one key that the map at ``at`` is asked for; None where that is not plain."""
    before, after = tokens[max(0, at - 3) : at], [*tokens[at + 1 : at + 4], "", "", ""]
    if after[0] == ".":
        return after[1] if after[1].isidentifier() and after[2] != "(" else None
    if after[0] == "[":
        return _plain(after[1]) if after[2] == "]" else None
    if before[-1:] == ["in"] and before[:-2] != ["+"]:
        return _plain(before[-2]) if len(before) > 1 else None
    return None


def _plain(token: str) -> str | None:
    """Return what a text says that is written as it is meant; None for others."""
    quote = token[:1]
    written = len(token) > 1 and quote in "\"'" and "\\" not in token and token[:3] != quote * 3
    return token[1:-1] if written else None
