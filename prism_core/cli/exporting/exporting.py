"""The three ways out of a server: a manifest, a build context, an image."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
from packaging.utils import canonicalize_name

from prism_core import __version__
from prism_core.appliances import Appliance, ImageBuilder
from prism_core.bundle import Bundle
from prism_core.cli.client import AdminClient
from prism_core.cli.exporting.alone import Alone, tag_of
from prism_core.cli.exporting.containerfile import write_context, write_files
from prism_core.cli.exporting.fetching import fetched
from prism_core.cli.exporting.kserve import manifest_of
from prism_core.errors import ConfigError, PluginError, UnknownPlugin
from prism_core.plugins import PluginSet, find, load_plugins


@attrs.frozen
class Export:
    """A version of a server, on its way out.

    Parameters
    ----------
    tag
        What its image is called, "" for a name made of the model's.
    quiet
        Whether to show no progress.
    """

    client: AdminClient
    model: str
    version: int
    tag: str = ""
    quiet: bool = False

    def manifest(self) -> dict[str, Any]:
        """Return the InferenceService of the version's image."""
        with self._fetched() as (bundle, _):
            return manifest_of(bundle, self.tag or tag_of(bundle))

    def context(self, directory: Path) -> str:
        """Write what any engine needs to build the image; return the name for it.

        Raises
        ------
        ConfigError
            If ``directory`` holds something already, or this PRISM is not the server's.
        """
        if directory.exists() and any(directory.iterdir()):
            raise ConfigError(
                f"The directory {str(directory)!r} is not empty.", hint="Name one that is not there yet."
            )
        plugins = self._plugins()
        directory.mkdir(parents=True, exist_ok=True)
        with self._fetched(directory) as (bundle, artifact):
            alone = alone_of(bundle, plugins)
            write_context(alone, artifact, directory)
            return self.tag or tag_of(bundle)

    def image(self, engine: str, cli: Any, output: Path | None) -> Appliance:
        """Have an engine build the image.

        Raises
        ------
        PrismError
            If there is no such engine, or it cannot.
        """
        plugins = self._plugins()
        builder = builder_of(plugins, engine)
        with self._fetched() as (bundle, artifact):
            files = artifact.parent / "prism"
            alone = alone_of(bundle, plugins)
            write_files(alone, artifact, files)
            appliance = alone.appliance(files, self.tag or tag_of(bundle), output)
            builder.build(cli, appliance)
            return appliance

    @contextmanager
    def _fetched(self, directory: Path | None = None) -> Iterator[tuple[Bundle, Path]]:
        with fetched(self.client, self.model, self.version, quiet=self.quiet, directory=directory) as found:
            yield found

    def _plugins(self) -> PluginSet:
        """Return what is installed here: it goes along, so it has to be what the server has."""
        there = self.client.server()["version"]
        if there != __version__:
            raise ConfigError(
                f"The server is PRISM {there}, this is {__version__}; its own packages go into the image.",
                hint="Run `prism export` where the server runs.",
            )
        return load_plugins(built_in=())


def alone_of(bundle: Bundle, plugins: PluginSet) -> Alone:
    """Return a version as it serves itself, with the plugins that are installed here.

    Raises
    ------
    UnknownPlugin
        If its loader's is not.
    """
    find(plugins.loaders, bundle.loader, "loader")
    references = plugins.runtime_plugins(bundle.loader)
    names = [plugins.plugins[reference.partition("=")[0]].distribution for reference in references]
    own = dict.fromkeys(["prism-core", *(canonicalize_name(name) for name in names if name)])
    return Alone(bundle, references, tuple(own))


def builder_of(plugins: PluginSet, name: str) -> ImageBuilder:
    """Return the engine called ``name``, "" for the first that works here.

    Raises
    ------
    PluginError
        If it does not work, or there is none.
    """
    builders = plugins.image_builders
    instead = "`prism export MODEL --containerfile DIR` writes what any engine can build."
    if name:
        reason = find(builders, name, "engine").available()
        if reason:
            raise PluginError(f"The engine {name!r} cannot build images here: {reason}", hint=instead)
        return builders[name]
    working = (builder for builder in builders.values() if not builder.available())
    if found := next(working, None):
        return found
    reasons = "; ".join(f"{one.name}: {one.available()}" for one in builders.values())
    raise UnknownPlugin(
        f"Nothing here builds images ({reasons or 'no plugin offers to'}).",
        hint=f"Install prism-podman, for instance. {instead}",
    )
