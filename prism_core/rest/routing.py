"""Which paths predictions are posted to, and which model each of them means."""

from __future__ import annotations

import re
from collections.abc import Iterable

import attrs

from prism_core.dialects import Dialects
from prism_core.gateway.callers.link import MARK
from prism_core.serving import NAME, Dialect, reference_to

# A hostile client can make up paths; then all are learned anew.
REMEMBERED = 1024
_ROUTES = re.compile(
    rf"/model/(?P<model>{NAME})(?:(?P<alias>@{NAME})|/versions/(?P<version>[0-9]{{1,18}}))?/predict"
    rf"|/v1/models/(?P<v1>{NAME}(?:@{NAME})?)(?P<verb>/predict|:predict)"
    r"|/s/(?P<slug>[a-z0-9]{1,32})/predict"
)


@attrs.frozen(slots=True)
class Route:
    """What a path asks for: a reference, the response style, and the dialect whose path it is."""

    reference: str
    style: str = ""
    dialect: Dialect | None = None


class Routes:
    """The paths to which predictions are posted, PRISM's own and those of dialects; each remembered.

    Attributes
    ----------
    headers
        Header names of dialects.
    """

    def __init__(self, dialects: Iterable[Dialect] = ()) -> None:
        self._dialects = Dialects(dialects)
        self.headers = self._dialects.headers
        self._known: dict[str, Route] = {}

    def find(self, path: str) -> Route | None:
        """Return what is asked for at a path, None where no prediction is."""
        route = self._known.get(path)
        if route is None and (route := route_of(path) or self._spoken(path)) is not None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[path] = route
        return route

    def _spoken(self, path: str) -> Route | None:
        found = self._dialects.find(path)
        return Route(reference_to(found.model, found.version), "", found.dialect) if found else None


def route_of(path: str) -> Route | None:
    """Return what one of PRISM's own predict routes asks for, None for any other path."""
    found = _ROUTES.fullmatch(path)
    if found is None:
        return None
    model, alias, version, v1, verb, slug = found.groups()
    if slug:
        return Route(MARK + slug)
    if v1:
        return Route(v1, "v1" if verb == ":predict" else "")
    if version:
        return Route(reference_to(model, version))
    return Route(model + (alias or ""))
