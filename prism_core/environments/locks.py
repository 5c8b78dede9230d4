"""A lock: exact versions of packages that are installed anyway, as a bundle brings it along.

What only PRISM's runtime needs is not held by it: that follows the server.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import attrs
from packaging.utils import canonicalize_name

from prism_core.environments.closure import required
from prism_core.environments.needs import parsed_requirement
from prism_core.environments.resolving import LOOP
from prism_core.environments.wheels import installed
from prism_core.errors import ConfigError

# Of PRISM's own requirements, what takes part in a model's answers.
_OF_MODELS = frozenset({"numpy"})


@attrs.frozen
class Lock:
    """Versions by distribution: ``held`` in any case, ``liked`` where nothing speaks against them."""

    held: Mapping[str, str] = attrs.field(factory=dict)
    liked: Mapping[str, str] = attrs.field(factory=dict)

    def broken(self, there: Mapping[str, str]) -> list[str]:
        """Return where an environment with ``there``, version by distribution, is not as it is locked."""
        return [
            f"{name}=={version} is locked; there it is {there[name]}"
            for name, version in self.held.items()
            if there.get(name, version) != version
        ]


def read_lock(lines: Iterable[str], own: Collection[str] = ()) -> Lock:
    """Return the lock that ``lines`` are, each ``name==version``; PRISM's ``own`` distributions are left out.

    Raises
    ------
    ConfigError
        If a line is anything else.
    """
    needs = required(installed("prism-core").requires or ())
    runtimes = {LOOP.name, *(canonicalize_name(one.name) for one in needs)} - _OF_MODELS
    pins = dict(_pin(line) for line in lines)
    return Lock(
        held={name: version for name, version in pins.items() if name not in runtimes and name not in own},
        liked={name: version for name, version in pins.items() if name in runtimes},
    )


def _pin(line: str) -> tuple[str, str]:
    found = parsed_requirement(line)
    specifier = str(found.specifier)
    version = specifier.removeprefix("==")
    if version == specifier or not version or set(version) & set("*,"):
        raise ConfigError(f"{line[:200]!r} locks nothing.", hint="Write it as name==version.")
    return canonicalize_name(found.name), version
