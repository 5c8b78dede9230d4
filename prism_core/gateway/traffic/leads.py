"""Whether what routes lead to is there: asked before a route is set, and before a version goes."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import msgspec

from prism_core.converters import Problem, config_error, dotted
from prism_core.errors import ConfigError, IllegalTransition, InvalidRoute, PrismError
from prism_core.gateway.registry import LATEST, Model, Registry, Version
from prism_core.gateway.traffic.changes import Ways
from prism_core.gateway.traffic.ensembles import check_members
from prism_core.traffic.flaws import Key
from prism_core.traffic.route import Route
from prism_core.traffic.targets import Target


def sound(route: Route) -> Route:
    """Return a route as it is stored: what YAML has and JSON has not is text from now on.

    Raises
    ------
    InvalidRoute
        If something is wrong with it by itself.
    """
    if flaws := list(route.flaws()):
        problems = [Problem(flaw.key, flaw.message, flaw.hint) for flaw in flaws]
        raise refused(config_error(problems, "", {}))
    try:
        return msgspec.json.decode(msgspec.json.encode(route), type=Route)
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidRoute(f"The route cannot be written as JSON: {error}.") from error


def refused(error: ConfigError) -> InvalidRoute:
    """Return what is wrong with a route's keys as the error of a route."""
    return InvalidRoute(error.message, hint=error.hint, details=error.details)


def check_leads(registry: Registry, model: Model, route: Route) -> None:
    """See whether a model may go by a route.

    Raises
    ------
    InvalidRoute
        If it names what is not there, or members of an ensemble whose answers do not fit each other; or
        what takes no predictions, unless the model's route has it already: a canary that has failed must not
        keep anybody from changing the rest.
    """
    known = {target.reference(model.name) for target in model.route.targets} if model.route else set()
    for key, target in route.led:
        reference = target.reference(model.name)
        try:
            version = registry.find(reference)
        except PrismError as error:
            raise InvalidRoute(f"{dotted(key)}: {error.message}", hint=error.hint) from error
        if version.lane is None and reference not in known:
            name, number = version.manifest.model, version.manifest.version
            raise InvalidRoute(
                f"{dotted(key)}: {reference} is {version.state}; only what is ready can be led to.",
                hint=f"prism start {name} --version {number}",
            )
    if route.ensemble:
        check_members(registry, model.name, route.ensemble)


def check_ways(registry: Registry, model: Model, ways: Ways) -> None:
    """See whether everything is still there that a model would be led to again.

    Raises
    ------
    IllegalTransition, InvalidRoute
        If it is not, or if an alias would go that a route names.
    """
    for alias in model.named.keys() - ways.aliases.keys():
        check_alias_unrouted(registry, model.name, alias)
    if ways.route:
        check_leads(registry, model, ways.route)
    for alias, number in ways.aliases.items():
        if model.named.get(alias) != number:
            _check_there(model, f"@{alias}", number)
    if ways.ceiling not in (None, model.ceiling):
        _check_there(model, "latest", ways.ceiling)


def check_unrouted(registry: Registry, versions: Collection[Version]) -> None:
    """Raise `IllegalTransition` if the route of a model that stays leads to one of ``versions``."""
    going = set(map(id, versions))
    for model in registry.models.values():
        if all(id(version) in going for version in model.versions.values()):
            continue  # its route goes with it
        for _, target, version in leads(registry, model):
            if id(version) in going:
                number = version.manifest.version
                raise IllegalTransition(
                    f"The route of {model.name!r} leads to {target.reference(model.name)}; "
                    f"version {number} of {version.manifest.model!r} cannot go.",
                    hint=f"Change the route first: prism route {model.name} shows it, --clear takes it away.",
                )


def check_alias_unrouted(registry: Registry, name: str, alias: str) -> None:
    """Raise `IllegalTransition` if a route names an alias that is to go; ``latest`` never goes."""
    for model in registry.models.values() if alias != LATEST else ():
        for target in model.route.targets if model.route else ():
            if target.reference(model.name) == f"{name}@{alias}":
                raise IllegalTransition(
                    f"The route of {model.name!r} leads to {target.text}; the alias {alias!r} cannot go.",
                    hint=f"Change the route first: prism route {model.name} shows it, --clear takes it away.",
                )


def leads(
    registry: Registry, model: Model, route: Route | None = None
) -> Iterator[tuple[Key, Target, Version]]:
    """Yield what a model's route, or ``route``, leads to and is there, with the key of each."""
    route = route or model.route
    for key, target in route.led if route else ():
        try:
            yield key, target, registry.find(target.reference(model.name))
        except PrismError:
            continue


def _check_there(model: Model, what: str, number: int | None) -> None:
    version = model.versions.get(number or 0)
    if version is None or version.lane is None:
        state = f"is {version.state}" if version else "is gone"
        raise IllegalTransition(
            f"{what} of {model.name!r} cannot lead to version {number} again: it {state}.",
            hint=f"prism start {model.name} --version {number}" if version else "Upload it again.",
        )
