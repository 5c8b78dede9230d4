"""What a link is to be: the options of ``prism share``, and the body that is sent for them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, TextIO, TypeVar

import rich_click as click

from prism_core.cli.durations import Duration
from prism_core.cli.tunnels import complete_tunnels
from prism_core.errors import ConfigError
from prism_core.rest.snippets import PASSWORD

Function = TypeVar("Function", bound=Callable[..., Any])


class RateText(click.ParamType[str]):
    """A rate; wrong ones are told before anything is uploaded."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return it as it was written."""
        from prism_core.rates import Rate

        try:
            Rate.parse(value or "1/s")
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return str(value)


_OPTIONS = (
    click.option("--expires", "expires_s", type=Duration(), help="When the link ends: 90s, 2h, 7d."),
    click.option("--uses", metavar="N", type=click.IntRange(1), help="How many predictions in all."),
    click.option("--rate", default="", type=RateText(), help="How often: 5/s, 100/min, '5/s burst 20'."),
    click.option(
        "--password",
        is_flag=True,
        help=f"Ask for a password too: it is prompted for, or taken from {PASSWORD}.",
    ),
    click.option(
        "--password-file",
        type=click.File("r", lazy=False),
        metavar="FILE",
        help="Ask for the password that is FILE's first line; - is standard input.",
    ),
    click.option(
        "--tunnel",
        default="",
        metavar="NAME",
        shell_complete=complete_tunnels,
        help="Through which the link leads: lan, relay, ssh ..., or auto for the first that works.",
    ),
    click.option("--no-page", is_flag=True, help="For programs only: no page for people."),
    click.option(
        "--origin",
        "origins",
        multiple=True,
        metavar="URL",
        help="A web page's origin that may use it: https://app.example.org; may be repeated.",
    ),
    click.option(
        "--verb",
        "verbs",
        multiple=True,
        type=click.Choice(["predict", "metadata"]),
        help="What it lets people do; may be repeated.  [default: both]",
    ),
    click.option("--note", default="", metavar="TEXT", help="What you have to say on its page."),
)
NAMES = (
    "expires_s", "uses", "rate", "password", "password_file", "tunnel", "no_page", "origins", "verbs", "note",
)  # fmt: skip


def link_options(function: Function) -> Function:
    """Add what is asked about a link."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def wish_of(*, no_page: bool, password: bool, password_file: TextIO | None, **given: Any) -> dict[str, Any]:
    """Return what was said of a link, as the admin API takes it; a password may be asked for here."""
    wish = {name: value for name, value in given.items() if value}
    if no_page:
        wish["page"] = False
    if password_file or password:
        wish["password"] = _read(password_file) if password_file else new_password()
    return wish


def _read(file: TextIO) -> str:
    found = file.readline().rstrip("\r\n")
    if not found:
        raise ConfigError(
            f"The first line of {file.name!r} is empty.", hint="It is to be the link's password."
        )
    return found


def new_password() -> str:
    """Return the password for a new link: of the environment, else as it is typed."""
    if found := os.environ.get(PASSWORD):
        return found
    if not sys.stdin.isatty():
        raise ConfigError(
            "Nobody can type the password here.", hint=f"Set {PASSWORD}, or give --password-file FILE."
        )
    typed: str = click.prompt("Password of the link", hide_input=True, confirmation_prompt=True, err=True)
    return typed
