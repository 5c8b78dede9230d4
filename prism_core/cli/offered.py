"""What commands of plugins are given: a `CommandLine`, and the options that all commands have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import rich_click as click

from prism_core.cli.client import AdminClient, ServerNotFound, data_dir_of, find_server
from prism_core.cli.options import Common, common_options, option_panels
from prism_core.cli.output import escaped, write_json, write_table
from prism_core.cli.progress import spinning

Config = TypeVar("Config")


class Offered:
    """The running command's `CommandLine`; nothing is looked up before it is asked for, from any thread."""

    def __init__(self, ctx: click.Context) -> None:
        self._ctx = ctx

    @property
    def _common(self) -> Common:
        return Common.of(self._ctx)  # the contexts of commands below share what was said

    @property
    def json(self) -> bool:
        """Whether programs read what is printed."""
        return self._common.json

    @property
    def data_dir(self) -> Path:
        """The data directory of the server that is meant."""
        return data_dir_of(self._common)

    def config(self, name: str, cls: type[Config]) -> Config:
        """Return ``plugins.<name>`` of the settings."""
        import os

        from prism_core.converters import named, structure_extension_config
        from prism_core.settings_file import load_settings

        said = load_settings(None, os.environ).plugins.get(name, {})
        return named(structure_extension_config(cls, said, name), self._server_id(), str(self.data_dir))

    def _server_id(self) -> str:
        try:
            return (self.data_dir / "server-id").read_text().strip()
        except OSError:
            return ""

    def admin(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the admin API of the server."""
        client = AdminClient(find_server(self._common))
        try:
            return client.call(method, path, body=body)
        finally:
            client.close()

    def running(self) -> bool:
        """Return whether there is a server to ask."""
        try:
            find_server(self._common)
        except ServerNotFound:
            return False
        return True

    def write_json(self, value: Any) -> None:
        """Write a value as one line of JSON."""
        write_json(value)

    def write_table(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Write a table of plain text."""
        write_table(columns, [[escaped(cell) for cell in row] for row in rows])

    def start_log(self) -> None:
        """Write events to stderr: lines for people on a terminal, else JSON."""
        from prism_core.logs import configure

        configure(json=True if self.json else None)

    @contextmanager
    def progress(self, title: str) -> Iterator[Callable[[str], None]]:
        """Show on a terminal that something lasts."""
        with spinning(title, quiet=self.json) as tell:
            yield tell


def completed(command: click.Command) -> click.Command:
    """Give a plugin's command, and those below it, the options that every command has."""
    known = {name for param in command.params for name in param.opts}
    command.params += [one for one in common_options() if known.isdisjoint(one.opts)]
    if isinstance(command, click.RichCommand):
        command.panels = [*command.panels, *option_panels()]
    for below in getattr(command, "commands", {}).values():
        completed(below)
    return command
