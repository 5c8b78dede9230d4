"""From exact pins to a directory with packages, by uv: whole, or not there."""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prism_core.environment import Environment
from prism_core.environments.bytecode import compile_all, share
from prism_core.environments.disk import Disk, site_packages
from prism_core.environments.interpreters import Interpreter
from prism_core.environments.resolving import Resolver, Tell, tell_nobody
from prism_core.environments.said import failure
from prism_core.environments.sharing import to_its_end

# What the packages of an environment may be linked by; a link to a name would point out of it, and end
# where the user clears uv's cache.
LINKS = ("clone", "copy", "hardlink")


async def build(
    resolver: Resolver, disk: Disk, environment: Environment, python: Interpreter, tell: Tell = tell_nobody
) -> None:
    """Make an environment's directory and write its recipe; cancelled or failed, it leaves nothing.

    Raises
    ------
    PrismError
        If a package cannot be had or installed; with uv's explanation.
    """
    total = len(environment.pins)

    def count(facts: Mapping[str, Any]) -> None:
        tell({**facts, "packages": total})

    with disk.scratch() as scratch:
        made = scratch / "made"
        await _install(resolver, disk, environment, python, scratch, made, count)
        await to_its_end(disk.keep, made, environment)


async def _install(
    resolver: Resolver,
    disk: Disk,
    environment: Environment,
    python: Interpreter,
    scratch: Path,
    made: Path,
    tell: Tell,
) -> None:
    outcome = await resolver.uv.run("venv", "--no-project", "--python", python.path, str(made))
    if outcome.code:
        raise failure(outcome.said, f"No environment can be made with Python {python.version}")
    lines = [pin.wheel or f"{pin.name}=={pin.version}" for pin in environment.pins]
    (scratch / "pins.txt").write_text("".join(f"{line}\n" for line in lines))
    tell({"phase": "installing"})
    sync = ("pip", "sync", str(scratch / "pins.txt"), "--python", str(made / "bin" / "python"))
    outcome = await resolver.online(*sync, "--link-mode", _link_mode(), *resolver.flags, tell=tell)
    if outcome.code:
        raise failure(outcome.said, "The model's packages cannot be installed", environment.requirements)
    # Compiled here: a replica may not write, and would compile at each start.
    await to_its_end(share, site_packages(made), _others(disk), python.version)
    await compile_all(resolver.uv, python.path, site_packages(made))


def _others(disk: Disk) -> list[Path]:
    """Return where packages lie that may have been compiled: the server's own, and other environments."""
    roots = [disk.root(one.key) for one in disk.environments()]
    return [Path(sysconfig.get_path("purelib")), *map(site_packages, roots)]


def _link_mode() -> str:
    asked = os.environ.get("UV_LINK_MODE", "")
    return asked if asked in LINKS else "hardlink"
