"""What versions run with: the distributions of a loader's runtime, and the environment of a version."""

from __future__ import annotations

import asyncio
from pathlib import Path

import attrs
from packaging.utils import canonicalize_name

from prism_core.environment import SERVER, Environment
from prism_core.environments.environments import Environments
from prism_core.environments.resolving import Tell, tell_nobody
from prism_core.manifest import Manifest
from prism_core.plugins import PluginSet


@attrs.frozen(eq=False)
class Packages:
    """The environments of a server, asked by version."""

    plugins: PluginSet
    environments: Environments

    def distributions(self, loader: str) -> list[str]:
        """Return what of PRISM, and which plugins, a runtime of ``loader`` has to have."""
        names = [reference.partition("=")[0] for reference in self.plugins.runtime_plugins(loader)]
        # A plugin that was loaded without being installed is named all the same: whoever needs it says so.
        found = [self.plugins.plugins[name].distribution or name for name in names]
        return list(dict.fromkeys(("prism-core", *map(canonicalize_name, found))))

    async def ready(self, manifest: Manifest, tell: Tell = tell_nobody) -> Environment | None:
        """Return the version's own environment, built if it is not there; None where it has the server's.

        Raises
        ------
        PrismError
            If it cannot be built.
        """
        if manifest.environment == SERVER:
            return None
        distributions = self.distributions(manifest.served.loader)
        return await self.environments.ready(manifest.environment, distributions, tell)

    async def recipe(self, manifest: Manifest) -> Path:
        """Return the file that says what the version runs with, pin by pin."""
        if manifest.environment != SERVER:
            return self.environments.disk.recipe(manifest.environment)
        return (await self._servers(manifest))[1]

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

    async def _servers(self, manifest: Manifest) -> tuple[Environment, Path]:
        distributions = self.distributions(manifest.served.loader)
        return await self.environments.servers(distributions, manifest.requirements)
