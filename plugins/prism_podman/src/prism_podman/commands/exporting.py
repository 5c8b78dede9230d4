"""``prism export --image``: the image of a version's environment, and the version on it, serving itself."""

from __future__ import annotations

from prism_core.plugin import Appliance, CommandLine
from prism_podman.commands.connecting import with_podman
from prism_podman.commands.recipes import recipe_of
from prism_podman.config import PodmanConfig
from prism_podman.engine import Engine
from prism_podman.images import appliances
from prism_podman.images.ensuring import images_of


def build(cli: CommandLine, appliance: Appliance) -> None:
    """Build the image of a version, and write it to a file where that is asked for.

    Raises
    ------
    PrismError
        If there is no Podman, or it cannot; or if the version's environment is not on this machine.
    """
    environment = recipe_of(cli, appliance.model)
    with cli.progress("Looking for the environment's image") as tell:

        async def make(engine: Engine, config: PodmanConfig) -> None:
            beneath = await images_of(engine, config).ensure(environment, tell)
            tell(f"Building {appliance.name}")
            await engine.call(lambda client: appliances.make(client, appliance, beneath))
            if output := appliance.output:
                tell(f"Writing {output.name}")
                await engine.call(lambda client: appliances.save(client, appliance.name, output))

        with_podman(cli, make)
