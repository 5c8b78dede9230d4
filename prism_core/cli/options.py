"""The options that every command takes, before its name or after it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import attrs
import rich_click as click
from click.core import ParameterSource

_KEY = "prism_core.cli.options"
PANEL = "For every command"


@attrs.frozen
class Common:
    """What was said with the common options.

    ``data_dir`` tells the servers of one machine apart; ``server`` is the admin URL of one
    elsewhere.
    """

    json: bool = False
    data_dir: Path | None = None
    server: str = ""
    token: str = ""
    ca: Path | None = None
    debug: bool = False

    @classmethod
    def of(cls, ctx: click.Context | None = None) -> Common:
        """Return the common options of the running command."""
        found = ctx or click.get_current_context(silent=True)
        return cls(**found.meta.get(_KEY, {})) if found else cls()


def _keep(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    """Remember an option: typed after the command's name wins over before it, both over the environment."""
    kept = ctx.meta.setdefault(_KEY, {})
    name = param.name or ""
    source = ctx.get_parameter_source(name)
    typed = source is ParameterSource.COMMANDLINE
    if value and (typed or name not in kept):
        kept[name] = value


def _common(*names: str, **attributes: Any) -> click.Option:
    return click.RichOption(names, callback=_keep, expose_value=False, panel=PANEL, **attributes)


def common_options() -> list[click.Parameter]:
    """Return the common options, for the group and for each command."""
    return [
        _common("--json", is_flag=True, help="Write JSON for programs on stdout, nothing else."),
        _common(
            "--data-dir",
            type=click.Path(file_okay=False, path_type=Path),
            envvar="PRISM_DATA_DIR",
            metavar="DIR",
            help="The server's data directory; tells servers on one machine apart.",
        ),
        _common("--server", envvar="PRISM_SERVER", metavar="URL", help="Admin URL of a server elsewhere."),
        _common("--token", envvar="PRISM_TOKEN", metavar="TEXT", help="Admin token of that server."),
        _common(
            "--ca",
            type=click.Path(dir_okay=False, path_type=Path),
            envvar="PRISM_CA",
            metavar="FILE",
            help="Trust servers with certificates of this authority (PEM); see `prism trust`.",
        ),
        _common("--debug", is_flag=True, help="Show the stack trace of an error."),
    ]


def option_panels() -> list[Any]:
    """Return the panels of a help page, a command's own options first."""
    return [click.RichOptionPanel("Options"), click.RichOptionPanel(PANEL)]


class PrismCommand(click.RichCommand):
    """A command with the common options, whose help ends with examples as they are typed."""

    def __init__(self, *args: Any, examples: str = "", **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.params += common_options()
        self.panels = [*self.panels, *option_panels()]
        self.examples = examples.strip("\n")

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples."""
        write_examples(self.examples, formatter)


def arrange(command: PrismCommand, panels: Mapping[str, Collection[str]]) -> None:
    """Show a command's options in ``panels``, by their names in Python; in one without names is the rest."""
    of = {name: panel for panel, names in panels.items() for name in names}
    rest = next((panel for panel, names in panels.items() if not names), None)
    for param in command.params:
        if isinstance(param, click.RichOption) and param.panel is None:
            param.panel = of.get(param.name or "", rest)
    command.panels = [*map(click.RichOptionPanel, panels), *command.panels]


class PrismGroup(click.RichGroup):
    """A command of commands, ``prism audit list``, with the common options."""

    def __init__(self, *args: Any, examples: str = "", **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.params += common_options()
        self.panels = [*self.panels, *option_panels()]
        self.examples = examples.strip("\n")

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples."""
        write_examples(self.examples, formatter)


def write_examples(examples: str, formatter: Any) -> None:
    """Write ``examples`` as a panel of the help, each line as it is."""
    if not examples:
        return
    from rich.panel import Panel
    from rich.text import Text

    formatter.write(
        Panel(Text(examples, style="cyan"), title="Examples", title_align="left", border_style="dim")
    )


def command(name: str, **attributes: Any) -> Callable[[Callable[..., None]], PrismCommand]:
    """Make a click command with the common options."""
    attributes.setdefault("context_settings", {"help_option_names": ["-h", "--help"]})
    return click.command(name, cls=PrismCommand, **attributes)


def group(name: str, **attributes: Any) -> Callable[[Callable[..., None]], PrismGroup]:
    """Make a click group with the common options; its commands are made with `command`."""
    attributes.setdefault("context_settings", {"help_option_names": ["-h", "--help"]})
    return click.group(name, cls=PrismGroup, **attributes)
