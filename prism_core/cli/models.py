"""Arguments that name a model, with completion from the running server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import rich_click as click
from click.shell_completion import CompletionItem

from prism_core.cli.client import AdminClient, admin, model_path, parse_reference
from prism_core.cli.durations import Duration, until
from prism_core.cli.options import Common
from prism_core.cli.output import warn, write_json

Function = TypeVar("Function", bound=Callable[..., Any])


def complete_models(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of models that begin with ``incomplete``; none while no server answers."""
    try:
        with admin(Common.of(ctx)) as client:
            return [m["model"] for m in client.models() if m["model"].startswith(incomplete)]
    except Exception:  # a shell's Tab key is no place for errors
        return []


def complete_files(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Leave it to the shell, which knows files best."""
    return [CompletionItem(incomplete, type="file")]


def complete_models_or_files(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the names of models that begin with ``incomplete``, and files where there is none."""
    models = [CompletionItem(name) for name in complete_models(ctx, param, incomplete)]
    return [*complete_files(ctx, param, incomplete), *models]


def model_argument(function: Function) -> Function:
    """Add the argument MODEL: ``churn``, ``churn/3`` or ``churn@champion``."""
    return click.argument("model", shell_complete=complete_models)(function)


def version_option(function: Function) -> Function:
    """Add ``--version N``, the same as MODEL/N."""
    return click.option(
        "--version", type=click.IntRange(1), metavar="N", help="The version; the same as MODEL/N."
    )(function)


def whole_model(name: str) -> str:
    """Return a model's name; a version or an alias is refused, as what is asked for concerns all of it."""
    own, version, alias = parse_reference(name)
    if version or alias:
        raise click.UsageError(f"{name} is one version of it: give the model, {own}.")
    return own


def keep_warm_option(function: Function) -> Function:
    """Add ``--keep-warm TIME``."""
    return click.option(
        "--keep-warm",
        "keep_warm_s",
        type=Duration(),
        metavar="TIME",
        help="Keep the version that is left loaded for so long: 10m, 2h.",
    )(function)


def tell_warm(versions: Iterable[dict[str, Any]]) -> None:
    """Say of the versions that are kept loaded for how long."""
    now = time.time()
    for one in versions:
        if one["warm_until"]:
            left = until(one["warm_until"], now).removeprefix("in ")
            click.echo(f"Version {one['version']} stays loaded for {left}: the way back takes no time.")


def tell_routed(found: dict[str, Any]) -> None:
    """Say where a model's bare name goes by a route, so that ``latest`` is not what it means."""
    if found.get("routed"):
        name = found["model"]
        warn(f"The bare name {name} goes by its route, whatever latest is: `prism route {name}` shows it.")


def moved(verb: str, done: str, reference: str | None, version: int | None, all_models: bool) -> None:
    """Stop or start one model, or all, and say so."""
    if bool(reference) == all_models:
        raise click.UsageError("Give a MODEL, or --all.")
    with admin() as client:
        references = [m["model"] for m in client.models()] if all_models else [reference or ""]
        found = [_move(client, verb, one, version) for one in references]
    if Common.of().json:
        write_json(found if all_models else found[0])
    else:
        for one in references:
            click.echo(f"{one} is {done}.")


def _move(client: AdminClient, verb: str, reference: str, version: int | None) -> Any:
    name, asked, alias = parse_reference(reference)
    if alias:
        name, asked = client.resolve(reference)
    return client.call("POST", f"{model_path(name)}/{verb}", query={"version": version or asked})
