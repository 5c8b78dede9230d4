"""``prism export --image``: the image of a version's environment, and the version on it, serving itself."""

from __future__ import annotations

from collections.abc import Iterable

from prism_core.plugin import Appliance, CommandLine, Environment, EnvironmentFailed
from prism_podman.commands.connecting import with_podman
from prism_podman.commands.recipes import recipes
from prism_podman.config import PodmanConfig
from prism_podman.engine import Engine
from prism_podman.host.interpreter import minor_of
from prism_podman.images import appliances
from prism_podman.images.ensuring import images_of


def build(cli: CommandLine, appliance: Appliance) -> None:
    """Build the image of a version, and write it to a file where that is asked for.

    Raises
    ------
    PrismError
        If there is no Podman, or it cannot; or if the version's environment is not on this machine.
    """
    environment = environment_of(appliance, recipes(cli.data_dir))
    with cli.progress("Looking for the environment's image") as tell:

        async def make(engine: Engine, config: PodmanConfig) -> None:
            beneath = await images_of(engine, config).ensure(environment, tell)
            tell(f"Building {appliance.name}")
            await engine.call(lambda client: appliances.make(client, appliance, beneath))
            if output := appliance.output:
                tell(f"Writing {output.name}")
                await engine.call(lambda client: appliances.save(client, appliance.name, output))

        with_podman(cli, make)


def environment_of(appliance: Appliance, environments: Iterable[Environment]) -> Environment:
    """Return the environment that a version is to run with.

    Raises
    ------
    EnvironmentFailed
        If it is not among ``environments``: those of another data directory, as a server elsewhere has.
    """
    for one in environments:
        own = {pin.name for pin in one.pins if pin.wheel}
        others = {(pin.name, pin.version) for pin in one.pins if not pin.wheel}
        same_python = minor_of(one.python_version) == minor_of(appliance.python_version)
        if same_python and own == set(appliance.distributions) and others == set(appliance.lock):
            return one
    raise EnvironmentFailed(
        f"The environment of {appliance.model} is not in this data directory.",
        hint="Name it with --data-dir; an image is made on the machine whose server uses it.",
    )
