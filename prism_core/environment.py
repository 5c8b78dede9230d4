"""What a model runs with: what its artifact asks for, and the packages that were chosen.

Plain values that go to JSON as they are; a runtime and a plugin may import this module. How an
environment is resolved and built is `prism_core.environments`.
"""

from __future__ import annotations

import attrs
import msgspec

# The key of the environment that the server itself runs in.
SERVER = "server"


@attrs.frozen
class Requirement:
    """One distribution that an artifact, or its owner, asks for.

    Parameters
    ----------
    name
        The distribution, as the package index normalizes it: ``scikit-learn``.
    specifier
        Versions as PEP 440 writes them, ``==1.5.2`` or ``>=1.20,<2``; "" for any.
    reason
        Why, in one sentence for the owner, with the evidence.
    strict
        Whether an environment is built for this alone. False: wanted where one is built anyway.
    extras
        What the distribution is asked to bring along: ``parquet`` of ``pandas[parquet]``.
    """

    name: str
    specifier: str = ""
    reason: str = ""
    strict: bool = True
    extras: tuple[str, ...] = ()

    @property
    def pep508(self) -> str:
        """The requirement as files of requirements have it: ``pandas[parquet]==2.2.3``."""
        extras = f"[{','.join(self.extras)}]" if self.extras else ""
        return f"{self.name}{extras}{self.specifier}"


@attrs.frozen
class Pin:
    """One distribution of an environment, exactly.

    ``reason`` is why it is there. ``wheel`` is the path of a wheel that this server made, for
    what is installed from no index: PRISM's runtime and its plugins; "" for all others.
    """

    name: str
    version: str
    reason: str = ""
    wheel: str = ""


@attrs.frozen
class Environment:
    """A set of packages under one interpreter.

    Parameters
    ----------
    key
        `SERVER`, or a digest of all that decides what is in it.
    python
        The path of its interpreter.
    python_version
        That interpreter's version, ``3.11.7``.
    pins
        Everything that is in it, also for `SERVER`: what its loader's plugin and the runtime need.
    requirements
        What it was resolved from.
    """

    key: str
    python: str
    python_version: str
    pins: tuple[Pin, ...] = ()
    requirements: tuple[Requirement, ...] = ()

    def to_json(self) -> bytes:
        """Return the environment as JSON."""
        return msgspec.json.encode(self)

    @classmethod
    def from_json(cls, data: bytes) -> Environment:
        """Read an environment that `to_json` wrote."""
        return msgspec.json.decode(data, type=Environment)
