"""What rules are written in: CEL, the Common Expression Language (https://cel.dev), compiled once.

CEL loops only over what is there, and has no way out of what it is given. The library bounds its steps and
its depth, its regular expressions take linear time (RE2), and types are checked when a rule is compiled:
what that finds, and where, is told to whoever sets the route. It is imported with the first rule, and only
by a gateway.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Any

from prism_core.errors import ConfigError
from prism_core.traffic.mentions import Keys, last_texts, mentions

if TYPE_CHECKING:
    from cel_expr_python import cel

# A longer one is no rule any more; it also bounds what one evaluation can do.
MOST_CHARACTERS = 1000
MAPS = ("header", "cookie", "query")
TEXTS = ("address", "country", "key", "model")
NAMES = (*MAPS, *TEXTS, "features")
FUNCTIONS = ("hash_percent", "in_network")

_SAID = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (?:Syntax error: )?(.*)")
_MISSING = re.compile(r"Key not found in map : (.*)")
_MISMATCH = re.compile(r"No matching overloads found : (\S+?)\((.*)\)")
_UNKNOWN = re.compile(r"undeclared reference to '([^']*)'")
_OVERLOAD = re.compile(r"found no matching overload for '([^']+)' applied to '\((.*)\)'")


class InvalidRule(ValueError):
    """A rule that cannot be asked: why, and where."""


class Unclear(Exception):
    """Why a rule is neither true nor false for a request; ``reason`` says it in a word.

    It quotes nothing that a caller sent: only names and types.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Expression:
    """A compiled rule. Made by `compiled`.

    Attributes
    ----------
    wants
        What it asks of a request, by name; of maps the keys, None for all.
    """

    __slots__ = ("_evaluate", "text", "wants")

    def __init__(self, text: str, wants: Mapping[str, Keys], evaluate: Callable[..., Any]) -> None:
        self.text = text
        self.wants = wants
        self._evaluate = evaluate

    def holds(self, known: Mapping[str, Any]) -> bool:
        """Return whether it is true of what is known of a request.

        Raises
        ------
        Unclear
            If that cannot be said: something is missing, or of another type.
        """
        try:
            found = self._evaluate(data=known).value()
        except Exception as error:
            raise self._unclear(str(error)) from None
        if found is True or found is False:
            return found
        if isinstance(found, str):  # the value of an error is what went wrong
            raise self._unclear(found)
        raise Unclear("type", "It is neither true nor false.")

    def _unclear(self, said: str) -> Unclear:
        if key := _MISSING.search(said):
            # A name that is written in the rule, not one that came with the request.
            written = key[1].strip('"') in self.text
            return Unclear("missing", f"There is no {key[1] if written else 'such name'}.")
        if kinds := _MISMATCH.search(said):
            sign = kinds[1].strip("_@").replace("_", " ")
            return Unclear("type", f"{sign} does not go with {kinds[2]}.")
        if "Iteration budget" in said:
            return Unclear("too_long", "It takes too many steps.")
        return Unclear("failed", "A value cannot be read as the rule wants it.")


@lru_cache(maxsize=256)
def compiled(text: str, model: str) -> Expression:
    """Return the rule that is written as ``text`` in the route of ``model``.

    Raises
    ------
    InvalidRule
        If it is none; the message says where and why.
    ConfigError
        If the library is not installed.
    """
    if len(text) > MOST_CHARACTERS:
        raise InvalidRule(f"It has {len(text)} characters; a rule has {MOST_CHARACTERS} at most.")
    language = _language(model)
    try:
        found = language.compile(text.encode("utf-8", "replace").decode())
    except RuntimeError as error:
        raise InvalidRule(_explained(text, str(error))) from None
    kind = found.return_type().name()
    if kind not in ("BOOL", "DYN"):
        raise InvalidRule(f"It is of type {kind.lower()}, and must be true or false: compare it.")
    wants = mentions(text, NAMES)
    _check_headers(wants)
    _check_constants(text, language)
    return Expression(text, wants, found.eval)


@lru_cache(maxsize=64)
def _language(model: str) -> cel.Env:
    cel = _library()
    kind = cel.Type
    texts = kind.Map(kind.STRING, kind.STRING)
    variables = dict.fromkeys(MAPS, texts) | dict.fromkeys(TEXTS, kind.STRING)
    variables["features"] = kind.Map(kind.STRING, kind.DYN)

    def function(name: str, parameters: Sequence[Any], returned: Any, does: Callable[..., Any]) -> Any:
        return cel.FunctionDecl(
            name, [cel.Overload(name, return_type=returned, parameters=list(parameters), impl=does)]
        )

    # DYN, so that it may be compared with 10 as well as with 10.0.
    percent = function("hash_percent", [kind.STRING], kind.DYN, lambda text: hash_percent(model, text))
    network = function("in_network", [kind.STRING, kind.STRING], kind.BOOL, in_network)
    return cel.NewEnv(variables=variables, functions=[percent, network])


def _library() -> Any:
    try:
        from cel_expr_python import cel
    except ImportError:
        raise ConfigError(
            "Rules need the package cel-expr-python, which is not installed here.",
            hint="pip install 'prism-core[rules]'",
        ) from None
    return cel


def in_network(address: str, network: str) -> bool:
    """Return whether an address is in a network such as ``10.0.0.0/8``."""
    found = ip_address(address.partition("%")[0])
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found) in _network(network)


@lru_cache(maxsize=256)
def _network(text: str) -> IPv4Network | IPv6Network:
    return ip_network(text, strict=False)


def hash_percent(model: str, text: str) -> float:
    """Return where a text falls between 0 and 100: always there, and as likely anywhere."""
    salt = blake2b(model.encode(), digest_size=16, person=b"rule").digest()
    drawn = int.from_bytes(blake2b(text.encode(), digest_size=8, salt=salt).digest(), "little")
    return (drawn >> 11) * 100 / (1 << 53)


# --- what is wrong with a rule ------------------------------------------------------------------


def _check_headers(wants: Mapping[str, Keys]) -> None:
    for name in sorted(wants.get("header") or ()):
        if name != name.lower():
            raise InvalidRule(f'Headers have lower-case names here: header["{name.lower()}"].')


def _check_constants(text: str, language: cel.Env) -> None:
    """Find now what would fail with each request."""
    for pattern in last_texts(text, "matches"):
        tried = language.compile(f'"".matches({pattern})').eval().value()
        if isinstance(tried, str):
            raise InvalidRule(f"{pattern} is no pattern: {tried.rpartition('expression: ')[2]}.")
    for network in last_texts(text, "in_network"):
        try:
            ip_network(network[1:-1], strict=False)
        except ValueError as error:
            raise InvalidRule(f"{network} is no network: {error}.") from None


def _explained(text: str, said: str) -> str:
    """Return in our words what the library says of an expression that it refuses."""
    match = _SAID.search(said)
    if match is None or int(match[1]) < 1:
        return "It is nested too deeply." if "recursion" in said else f"It cannot be read: {said}"
    line, column, reason = int(match[1]), int(match[2]), match[3].removesuffix(" [INVALID_ARGUMENT]")
    where = f"line {line}, character {column}" if "\n" in text else f"character {column}"
    return f"At {where}: {_reason(reason)}"


def _reason(said: str) -> str:
    if unknown := _UNKNOWN.match(said):
        return _unknown(unknown[1])
    if "token recognition error at: '='" in said or "token recognition error at: '= '" in said:
        return "= says nothing; == compares."
    if "<EOF>" in said and "expecting" in said and "extraneous" not in said:
        return "it ends too early."
    if overload := _OVERLOAD.match(said):
        # An operator is called as it is written, its places marked: _==_, !_, _?_:_, @in.
        return f"{overload[1].strip('_@').replace('_', ' ')} does not go with {overload[2]}."
    return said.partition(" expecting ")[0] + "."


def _unknown(name: str) -> str:
    known = (*NAMES, *FUNCTIONS)
    if name in known:
        return f"{name} takes something else than that."
    close = difflib.get_close_matches(name, known, n=1)
    return f"there is no {name}; " + (f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}.")
