"""The rules of a route: which of them, if any, decides about a request.

What rules ask of a request is found at most once, and only what they name. A rule that cannot be told for a
request, since something is missing or of another type, is false: a caller never hears of it, the owner does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

import structlog

from prism_core.errors import ConfigError, InvalidRoute
from prism_core.gateway.prediction import Head
from prism_core.gateway.traffic.expressions import Expression, InvalidRule, Unclear, compiled
from prism_core.gateway.traffic.sender import Sender
from prism_core.traffic.features import LARGEST_BYTES, NoFeatures, features_of
from prism_core.traffic.mentions import Keys
from prism_core.traffic.route import Route
from prism_core.traffic.sticky import cookies

# Returns the country of an address as two capital letters, "" where that is not known.
CountryOf = Callable[[str], str]
# Hears of a rule that is neither true nor false, by its place from 1, and why: in a word, and in a sentence.
OnUnclear = Callable[[int, str, str], None]

NO_FEATURES = {
    "media_type": "Only JSON bodies have features.",
    "too_large": f"The body has more than {LARGEST_BYTES} bytes: it is not read for a rule.",
    "not_json": "The body is not JSON.",
    "no_names": "The values of the body have no names.",
    "no_rows": "The body has no rows.",
}

NO_RULE = (0, "")

log = structlog.get_logger("prism.routes")


def nowhere(address: str) -> str:
    """Return where an address is as far as is known without a database."""
    return ""


class Facts:
    """What is known of one request, found when a rule asks for it.

    Parameters
    ----------
    keys
        What the rules of the route ask of the headers, cookies and the rest; see `mentions`.
    """

    __slots__ = ("_body", "_country_of", "_head", "_keys", "_model", "_sender", "known", "missing")

    def __init__(
        self,
        model: str,
        head: Head,
        body: bytes | memoryview,
        sender: Sender,
        keys: Mapping[str, Keys],
        country_of: CountryOf,
    ) -> None:
        self._model = model
        self._head = head
        self._body = body
        self._sender = sender
        self._keys = keys
        self._country_of = country_of
        self.known: dict[str, Any] = {}
        self.missing = ""  # why there are no features

    def find(self, names: Mapping[str, Keys]) -> Mapping[str, Any]:
        """Return what is known of the request, ``names`` at least, as far as they are there."""
        known = self.known
        for name in names:
            if name not in known:
                known[name] = self._find(name)
        return known

    def _find(self, name: str) -> Any:
        sender = self._sender
        if name == "header":
            return _chosen(sender.headers, self._keys[name])
        if name == "features":
            return self._features()
        if name == "address":
            return sender.address
        if name == "key":
            return sender.caller
        if name == "country":
            return self._country_of(sender.address)
        if name == "model":
            return self._model
        found = cookies(sender.headers) if name == "cookie" else parse_qsl(self._head.query, True)
        return _chosen(dict(reversed([*found])), self._keys[name])

    def _features(self) -> Mapping[str, Any]:
        try:
            return _chosen(features_of(self._head.media_type, self._body), self._keys["features"])
        except NoFeatures as why:
            self.missing = str(why)
            return {}


def _chosen(found: Mapping[str, Any], keys: Keys) -> Mapping[str, Any]:
    """Return the part of a map that is asked for: handing over a long one takes longer than the rule."""
    if keys is None:
        return found
    return {key: found[key] for key in keys if key in found}


class Rules:
    """The rules of one route, compiled.

    Parameters
    ----------
    model, route
        Whose rules.
    country_of
        Where addresses are.
    unclear
        Hears of rules that could not be told.
    """

    def __init__(self, model: str, route: Route, country_of: CountryOf, unclear: OnUnclear) -> None:
        self._model = model
        self._country_of = country_of
        self._unclear = unclear
        self._rules = list(_readable(model, route))
        self._keys = _together(expression.wants for _, expression, _ in self._rules)

    def decide(self, head: Head, body: bytes | memoryview, sender: Sender) -> tuple[int, str]:
        """Return the place, from 1, and the reference of the first rule that is true; `NO_RULE` for none."""
        facts = Facts(self._model, head, body, sender, self._keys, self._country_of)
        for place, expression, reference in self._rules:
            try:
                if expression.holds(facts.find(expression.wants)):
                    return place, reference
            except Unclear as why:
                lacks = facts.missing if "features" in expression.wants else ""
                self._unclear(place, lacks or why.reason, NO_FEATURES.get(lacks) or str(why))
        return NO_RULE


def check_rules(model: str, route: Route, *, countries: bool) -> None:
    """See whether the rules of a route can be asked; ``countries``: whether it is known where addresses are.

    Raises
    ------
    InvalidRoute
        If one cannot; the message says which, where in it, and why.
    """
    for at, rule in enumerate(route.rules):
        try:
            expression = compiled(rule.when, model)
        except InvalidRule as error:
            raise InvalidRoute(f"rules[{at}].when: {error}", hint=f"It says: {rule.when}") from None
        except ConfigError as error:
            raise InvalidRoute(f"rules[{at}].when: {error.message}", hint=error.hint) from None
        if "country" in expression.wants and not countries:
            raise InvalidRoute(
                f"rules[{at}].when: nobody knows the countries of addresses here.",
                hint="Set geo_database to a file in MaxMind's format.",
            )


def _readable(model: str, route: Route) -> Iterator[tuple[int, Expression, str]]:
    for place, rule in enumerate(route.rules, 1):
        try:
            yield place, compiled(rule.when, model), rule.reference(model)
        except (InvalidRule, ConfigError) as error:  # it was stored where it could be read
            _tell_unreadable(model, place, str(error))


@lru_cache(maxsize=256)
def _tell_unreadable(model: str, place: int, error: str) -> None:
    """Tell it once, although routes are made anew with every change of any model."""
    log.error("route.rule_unreadable", model=model, rule=place, error=error)


def _together(wants: Iterable[Mapping[str, Keys]]) -> Mapping[str, Keys]:
    """Return what several rules ask for, together."""
    found: dict[str, Keys] = {}
    for one in wants:
        for name, keys in one.items():
            others = found.get(name, frozenset())
            found[name] = None if keys is None or others is None else others | keys
    return found
