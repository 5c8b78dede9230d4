"""The group ``prism``: built-in commands by table, plugins' commands when they are asked for."""

from __future__ import annotations

import difflib
import functools
import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import rich_click as click

from prism_core import __version__
from prism_core.cli.offered import Offered, completed
from prism_core.cli.options import common_options, option_panels, write_examples
from prism_core.cli.report import reported

if TYPE_CHECKING:
    from prism_core.specs import Command

# Command, and module of that name -> what it is called there; in the order of ``--help``.
COMMANDS = {
    "serve": "serve",
    "share": "share",
    "links": "links",
    "unshare": "unshare",
    "upload": "upload",
    "predict": "predict",
    "list": "list_models",
    "show": "show",
    "env": "env",
    "logs": "logs",
    "keys": "keys",
    "alias": "alias",
    "rollback": "rollback",
    "route": "route",
    "undo": "undo",
    "shadow": "shadow",
    "experiment": "experiment",
    "recordings": "recordings",
    "feedback": "feedback",
    "replay": "replay",
    "stop": "stop",
    "start": "start",
    "remove": "remove",
    "freeze": "freeze",
    "export": "export",
    "audit": "audit",
    "plugins": "plugins",
    "doctor": "doctor",
    "trust": "trust",
    "version": "version",
    "completion": "completion",
}

EXAMPLES = """\
prism serve                       # in one terminal
prism upload churn_model.pkl      # in another
prism share churn                 # makes a link for somebody else
prism share churn_model.pkl       # or all of it in one"""


class LazyGroup(click.RichGroup):
    """Imports a command's module when the command is named; loads plugins only for names it does not know."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the built-in commands, then those of plugins."""
        return [*COMMANDS, *(name for name in plugin_commands() if name not in COMMANDS)]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Return the command ``name``, None where there is none."""
        if name in COMMANDS:
            module = importlib.import_module(f"prism_core.cli.commands.{name}")
            command: click.Command = getattr(module, COMMANDS[name])
            return command
        record = plugin_commands().get(name)
        return _built(record) if record else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that ``args`` name; an unknown one gets a suggestion."""
        name = args[0]
        if not ctx.resilient_parsing and self.get_command(ctx, name) is None:
            close = difflib.get_close_matches(name, self.list_commands(ctx), 1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise click.UsageError(f"There is no command {name!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples."""
        write_examples(EXAMPLES, formatter)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; whatever fails is told in PRISM's words."""
        ctx.obj = ctx.obj or Offered(ctx)
        with reported(ctx):
            return super().invoke(ctx)


@functools.cache
def plugin_commands() -> Mapping[str, Command]:
    """Return the commands of the installed plugins; a plugin that fails has none."""
    from prism_core.plugins import load_plugins

    return load_plugins(built_in=()).commands


def _built(record: Command) -> click.Command:
    try:
        command: click.Command = record.build()
    except Exception as error:  # a broken plugin must not take --help away
        message = f"The command {record.name!r} of a plugin cannot be built: {error}"

        @click.command(record.name, help=message, context_settings={"ignore_unknown_options": True})
        @click.argument("args", nargs=-1)
        def broken(args: tuple[str, ...]) -> None:
            from prism_core.errors import PluginLoadError

            raise PluginLoadError(message, hint="`prism plugins` shows where it comes from.")

        return broken
    command.help = command.help or record.help
    return completed(command)


@click.group(
    cls=LazyGroup,
    params=common_options(),
    panels=option_panels(),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="prism", message="%(prog)s %(version)s")
def app() -> None:
    """PRISM serves models from this machine: train, upload, share the link."""
