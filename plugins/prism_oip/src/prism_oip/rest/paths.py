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
# A version is a number or an alias; what has an alias already has no version behind it.
MODEL = rf"/v2/models/(?P<model>{NAME}(?:@{NAME}(?!/versions/))?)(?:/versions/(?P<version>{NAME}))?"

# In this order: a model called `stats` is reached by an alias or a version.
_ROUTES = (
    ("server", re.compile(r"/v2/?"), _READ),
    ("live", re.compile(r"/v2/health/live"), _READ),
    ("ready", re.compile(r"/v2/health/ready"), _READ),
    ("index", re.compile(r"/v2/repository/index"), ("POST",)),
    ("load", re.compile(rf"/v2/repository/models/(?P<model>{NAME})/load"), ("POST",)),
    ("unload", re.compile(rf"/v2/repository/models/(?P<model>{NAME})/unload"), ("POST",)),
    ("statistics", re.compile(r"/v2/models/stats"), _READ),
    ("model", re.compile(MODEL), _READ),
    ("model_ready", re.compile(f"{MODEL}/ready"), _READ),
    ("model_config", re.compile(f"{MODEL}/config"), _READ),
    ("model_statistics", re.compile(f"{MODEL}/stats"), _READ),
    ("infer", re.compile(f"{MODEL}/infer"), ("POST",)),
)
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
    for name, pattern, methods in _ROUTES:
        if found := pattern.fullmatch(path):
            named: Mapping[str, str | None] = found.groupdict()
            return Route(name, methods, named.get("model") or "", named.get("version") or "")
    return None


def asks(path: str) -> str | None:
    """Return what `prism_core.plugin.Frontend.asks` wants to know of a path."""
    route = route_of(path)
    if route is None:
        return "*"
    return None if route.name in _OPEN else route.reference
