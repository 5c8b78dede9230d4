"""The protocol's paths: what each is about, which methods it takes, and what it asks of a caller.

Functions of a path. Predictions are not answered from here, but their paths are known: whoever asks one with
another method is told so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import attrs

from prism_core.plugin import NAME, reference_to

_READ = ("GET", "HEAD")
_POST = ("POST",)
# A version is a number or an alias; what has an alias already has no version behind it.
MODEL = rf"/v2/models/(?P<model>{NAME}(?:@{NAME}(?!/versions/))?)(?:/versions/(?P<version>{NAME}))?"
_MODEL = "/v2/models/{model}[/versions/{version}]"

# In this order: a model called `stats` is reached by an alias or a version.
ROUTES = {
    "server": ("/v2", _READ),
    "live": ("/v2/health/live", _READ),
    "ready": ("/v2/health/ready", _READ),
    "index": ("/v2/repository/index", _POST),
    "load": ("/v2/repository/models/{model}/load", _POST),
    "unload": ("/v2/repository/models/{model}/unload", _POST),
    "statistics": ("/v2/models/stats", _READ),
    "model": (_MODEL, _READ),
    "model_ready": (f"{_MODEL}/ready", _READ),
    "model_config": (f"{_MODEL}/config", _READ),
    "model_statistics": (f"{_MODEL}/stats", _READ),
    "infer": (f"{_MODEL}/infer", _POST),
}


def _pattern(path: str) -> re.Pattern[str]:
    named = path.replace(_MODEL, MODEL).replace("{model}", rf"(?P<model>{NAME})")
    return re.compile(named if path != "/v2" else "/v2/?")


_PATTERNS = {name: _pattern(path) for name, (path, _) in ROUTES.items()}
# Monitors ask these, and they name no model.
_OPEN = frozenset({"live", "ready"})


@attrs.frozen
class Route:
    """What a path leads to.

    Parameters
    ----------
    name
        What is done there.
    methods
        Which it takes.
    model, version
        What the path names; the model may have an alias, the version may be a number or an alias.
    """

    name: str
    methods: tuple[str, ...]
    model: str = ""
    version: str = ""

    @property
    def reference(self) -> str:
        """What is asked about, "" for no model in particular."""
        return reference_to(self.model, self.version)

    @property
    def one(self) -> bool:
        """Whether one version is meant, and not all of a model's."""
        return bool(self.version) or "@" in self.model


def route_of(path: str) -> Route | None:
    """Return what a path leads to, None for nothing that the protocol knows."""
    for name, pattern in _PATTERNS.items():
        if found := pattern.fullmatch(path):
            named: Mapping[str, str | None] = found.groupdict()
            return Route(name, ROUTES[name][1], named.get("model") or "", named.get("version") or "")
    return None


def asks(path: str) -> str | None:
    """Return what `prism_core.plugin.Frontend.asks` wants to know of a path."""
    route = route_of(path)
    if route is None:
        return "*"
    return None if route.name in _OPEN else route.reference
