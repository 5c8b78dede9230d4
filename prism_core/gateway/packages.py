"""What versions run with: the distributions of a loader's runtime, and the environment of a version."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from pathlib import Path

import attrs
from packaging.utils import canonicalize_name

from prism_core.environment import SERVER, Environment, Requirement
from prism_core.environments.beside import packed_by_trust
from prism_core.environments.closure import closure
from prism_core.environments.environments import Environments
from prism_core.environments.resolving import Tell, tell_nobody
from prism_core.environments.wheels import is_installed
from prism_core.manifest import Manifest
from prism_core.plugins import PluginSet
from prism_core.specs import Optimizer


@attrs.frozen(eq=False)
class Packages:
    """The environments of a server, asked by version."""

    plugins: PluginSet
    environments: Environments

    def distributions(self, loader: str, trust: Iterable[str] = ()) -> list[str]:
        """Return what of PRISM, which plugins, and what beside them a runtime of ``loader`` has to have.

        Parameters
        ----------
        trust
            The names that the owner trusts: what holds them goes along, if it came from no index.
        """
        names = [reference.partition("=")[0] for reference in self.plugins.runtime_plugins(loader)]
        # A plugin that was loaded without being installed is named all the same: whoever needs it says so.
        found = [self.plugins.plugins[name].distribution or name for name in names]
        names = ["prism-core", *map(canonicalize_name, found), *packed_by_trust(trust)]
        return list(dict.fromkeys(names))

    def known(self, loader: str) -> set[str]:
        """Return the distributions that every model of ``loader`` is given, by what is installed here."""
        return {pin.name for pin in closure(dict.fromkeys(self.distributions(loader), ""))}

    async def ready(self, manifest: Manifest, tell: Tell = tell_nobody) -> Environment | None:
        """Return the version's own environment, built if it is not there; None where it has the server's.

        Raises
        ------
        PrismError
            If it cannot be built.
        """
        if manifest.environment == SERVER:
            return None
        distributions = self.distributions(manifest.served.loader, manifest.trust)
        return await self.environments.ready(manifest.environment, distributions, tell)

    async def recipe(self, manifest: Manifest, optimizer: Optimizer | None = None) -> Path:
        """Return the file that says what the version runs with, or is converted with, pin by pin."""
        if manifest.environment != SERVER:
            return self.environments.disk.recipe(manifest.environment)
        return (await self._servers(manifest, optimizer))[1]

    async def described(self, manifest: Manifest) -> Environment:
        """Return what the version runs with, pin by pin, whether or not it is built.

        Raises
        ------
        EnvironmentFailed
            If its recipe is lost.
        """
        if manifest.environment == SERVER:
            return (await self._servers(manifest))[0]
        return await asyncio.to_thread(self.environments.recipe, manifest.environment)

    async def _servers(
        self, manifest: Manifest, optimizer: Optimizer | None = None
    ) -> tuple[Environment, Path]:
        distributions = self.distributions(manifest.served.loader, manifest.trust)
        wanted = {one.name: one for one in (*_of_forms(manifest, optimizer), *manifest.requirements)}
        return await self.environments.servers(distributions, tuple(wanted.values()))


def _of_forms(manifest: Manifest, optimizer: Optimizer | None) -> Iterator[Requirement]:
    """Yield what converts a model, and what runs a converted one: of a plugin these are extras."""
    names = set(optimizer.packages) if optimizer else set()
    if manifest.optimization and manifest.optimization.state == "served":
        names |= manifest.optimization.versions.keys()
    for name in sorted(map(canonicalize_name, names)):
        if is_installed(name):
            yield Requirement(name, reason="The model's faster form needs it.")
