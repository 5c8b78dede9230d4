"""``prism podman doctor``: what this Podman can do, and what stands in its way."""

from __future__ import annotations

import asyncio
import platform
from functools import partial

import attrs
import rich_click as click
from click.exceptions import Exit

from prism_core.plugin import CommandLine, PrismError
from prism_podman.config import PodmanConfig
from prism_podman.diagnosis import MISSING, OK, PROBLEM, Finding, findings, trial
from prism_podman.engine import Engine, open_engine
from prism_podman.images import bases
from prism_podman.images.ensuring import owner_of
from prism_podman.machine import missing, program


@click.command("doctor")
@click.pass_obj
def doctor(cli: CommandLine) -> None:
    """Say what is wrong with Podman here, and how to put it right.

    Asks Podman, starts its service where there is none, and tries a container where there is a base
    image. Exits with 1 if no model could run in a container.
    """
    found = asyncio.run(examined(cli.config("podman", PodmanConfig)))
    works = all(one.state != MISSING for one in found)
    if cli.json:
        cli.write_json({"ok": works, "checks": [attrs.asdict(one) for one in found]})
    else:
        rows = [(one.name, one.state, one.detail + (f"\n{one.hint}" if one.hint else "")) for one in found]
        cli.write_table(("Podman", "", ""), rows)
    if not works:
        raise Exit(1)


async def examined(config: PodmanConfig) -> list[Finding]:
    """Look at all that can be looked at."""
    reason = missing()
    if reason:
        return [Finding("installed", MISSING, reason)]
    try:
        async with open_engine(config) as engine:
            whose = "a service that PRISM starts" if engine.service else engine.url
            return [
                Finding("service", OK, f"it answers: {whose}"),
                *findings(engine.facts, program, config),
                await _tried(engine, config),
            ]
    except PrismError as error:
        return [Finding("service", MISSING, error.message, error.hint)]


async def _tried(engine: Engine, config: PodmanConfig) -> Finding:
    """Try a container on the base image of this machine's Python."""
    version = platform.python_version()
    owner = owner_of(engine.facts)
    there = await engine.call(lambda client: bases.present(client, config.base_image, version, owner))
    if there is None:
        hint = "The first upload fetches one; where there is no registry: prism podman base --from-host."
        return Finding("trial", PROBLEM, f"there is no base image for Python {version} yet", hint)
    base = await engine.call(partial(bases.described, name=min(there.tags, default=""), stored=there))
    return await trial(engine, base.id, base.python)
