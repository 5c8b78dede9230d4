"""From what is required to exact pins, by uv."""

from __future__ import annotations

import hashlib
import re
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from packaging.requirements import Requirement as Parsed
from packaging.utils import canonicalize_name
from packaging.version import Version

from prism_core.environment import Pin, Requirement
from prism_core.environments.closure import required
from prism_core.environments.interpreters import Interpreter
from prism_core.environments.said import facts_of, failure, mentioned, unreachable
from prism_core.environments.uv import Outcome, Uv
from prism_core.environments.wheels import Wheel, installed

Tell = Callable[[Mapping[str, Any]], None]

# A quicker event loop, which the runtime uses where there is one.
LOOP = Requirement("uvloop", reason="a quicker event loop for PRISM's runtime", strict=False)
OF_PRISM = "as the server itself has it"
_LINE = re.compile(
    r"(?P<name>[A-Za-z0-9][\w.-]*)(\[.*?\])?\s*(==\s*(?P<version>[^\s;]+)|@\s*(?P<url>\S+))"
    r"[^#]*(#\s*via\s+(?P<via>.*))?"
)


def tell_nobody(_: Mapping[str, Any]) -> None:
    """Take progress that nobody waits for."""


@attrs.frozen(eq=False)
class Resolver:
    """Resolves with uv.

    Parameters
    ----------
    preferred
        Versions that are taken where nothing speaks against them: what the server has itself.
    held
        Versions that are taken, of what is installed anyway.
    allow_builds
        Whether packages may be built from source, which runs their code.
    """

    uv: Uv
    preferred: Mapping[str, str] = attrs.field(factory=dict)
    held: Mapping[str, str] = attrs.field(factory=dict)
    allow_builds: bool = False

    @property
    def flags(self) -> list[str]:
        """What every run that looks at packages is told."""
        return [] if self.allow_builds else ["--no-build"]

    async def pins(
        self,
        requirements: Sequence[Requirement],
        wheels: Sequence[Wheel],
        python: Interpreter,
        scratch: Path,
        tell: Tell = tell_nobody,
    ) -> tuple[Pin, ...]:
        """Return everything that an environment with ``requirements`` and ``wheels`` holds.

        What is not `Requirement.strict` is left out where it makes the rest impossible.

        Raises
        ------
        PrismError
            If there is no such environment; with uv's explanation.
        """
        tell({"phase": "resolving"})
        asked = [*requirements, *_of_the_loop()]
        outcome = await self._compiled(asked, wheels, python, scratch)
        while outcome.code and (fewer := without(asked, outcome.said)) != asked:
            asked = fewer
            outcome = await self._compiled(asked, wheels, python, scratch)
        if outcome.code:
            raise failure(outcome.said, "The model's packages cannot be had together", requirements)
        return read_pins((scratch / "pins.txt").read_text(), asked, wheels)

    async def _compiled(
        self, requirements: Sequence[Requirement], wheels: Sequence[Wheel], python: Interpreter, scratch: Path
    ) -> Outcome:
        lines = [*(one.pep508 for one in requirements), *(f"{w.name} @ {w.path.as_uri()}" for w in wheels)]
        (scratch / "wanted.txt").write_text("".join(f"{line}\n" for line in lines))
        (scratch / "held.txt").write_text(_written(self.held))
        # uv keeps the versions of an output file that is there, where it can.
        (scratch / "pins.txt").write_text(_written(self.preferred))
        return await self.online(
            *("pip", "compile", str(scratch / "wanted.txt"), "--output-file", str(scratch / "pins.txt")),
            *("--constraints", str(scratch / "held.txt"), "--python", python.path, "--no-header"),
            *("--annotation-style", "line", "--no-strip-extras"),
            *self.flags,
        )

    async def online(self, *arguments: str, tell: Tell = tell_nobody) -> Outcome:
        """Run uv; where a server cannot be reached try again with what is in the cache."""

        def hear(line: str) -> None:
            if facts := facts_of(line):
                tell(facts)

        outcome = await self.uv.run(*arguments, hear=hear)
        if outcome.code and unreachable(outcome.said):
            return await self.uv.run(*arguments, "--offline", hear=hear)
        return outcome


def without(asked: Sequence[Requirement], said: str) -> list[Requirement]:
    """Return what is left to ask for when uv ``said`` that all of it cannot be.

    Of what is only wished for, that which uv names is left out; where it names nothing of it, all is.
    """
    wished = [one for one in asked if not one.strict]
    named = mentioned(wished, said) or wished
    return [one for one in asked if one not in named]


def _written(versions: Mapping[str, str]) -> str:
    return "".join(f"{name}=={version}\n" for name, version in versions.items())


def _of_the_loop() -> Iterator[Requirement]:
    if sys.platform != "win32":
        yield LOOP


def read_pins(text: str, requirements: Iterable[Requirement], wheels: Iterable[Wheel]) -> tuple[Pin, ...]:
    """Return the pins of what ``uv pip compile`` wrote, each with why it is there."""
    wanted = {one.name: one for one in requirements}
    made = {wheel.name: wheel for wheel in wheels}
    pins = []
    for line in text.splitlines():
        found = _LINE.match(line)
        if not found:
            continue
        name = canonicalize_name(found["name"])
        said_by = re.split(r",\s*", found["via"] or "")
        above = [via for via in said_by if via and not via.startswith(("-r ", "-c "))]
        said = [wanted[name].reason or "asked for"] if name in wanted else []
        reasons = [*said, *([f"required by {', '.join(above)}"] if above else [])]
        if name in made:
            pins.append(Pin(name, made[name].version, OF_PRISM, str(made[name].path)))
        elif found["version"]:
            pins.append(Pin(name, found["version"], "; ".join(reasons)))
    return tuple(pins)


def key_of(pins: Iterable[Pin], python: Interpreter) -> str:
    """Return what identifies an environment: its Python, the platform, and all packages but PRISM's content.

    A server that is updated serves a version in the environment that it had, with its own PRISM in it.
    """
    lines = sorted(pin.name if pin.wheel else f"{pin.name}=={pin.version}" for pin in pins)
    said = "\n".join([python.minor, sysconfig.get_platform(), *lines])
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def lacking(distributions: Iterable[str], pins: Iterable[Pin], python_version: str) -> list[str]:
    """Return what PRISM's distributions, as the server has them, require beyond ``pins``."""
    there = {pin.name: pin.version for pin in pins}
    minor = ".".join(python_version.split(".")[:2])
    environment = {"python_version": minor, "python_full_version": python_version}
    wanted = [
        one for name in distributions for one in required(installed(name).requires or (), ("",), environment)
    ]
    return [str(one) for one in wanted if not _met(one, there)]


def _met(wanted: Parsed, there: Mapping[str, str]) -> bool:
    version = there.get(canonicalize_name(wanted.name))
    return version is not None and wanted.specifier.contains(Version(version), prereleases=True)
