"""``prism doctor``: what this machine can do, and how to get what is missing."""

from __future__ import annotations

from collections.abc import Iterable

import rich_click as click
from click.exceptions import Exit

from prism_core.cli import EXIT_FAILED
from prism_core.cli.checks import Check, State, all_checks
from prism_core.cli.client import data_dir_of
from prism_core.cli.options import Common, command
from prism_core.cli.output import escaped, write_json, write_table

SIGNS = {
    State.OK: "[green]ok[/]",
    State.MISSING: "[yellow]missing[/]",
    State.PROBLEM: "[yellow]problem[/]",
    State.FATAL: "[red]fatal[/]",
}


EXAMPLES = """
prism doctor
prism doctor --json
"""


@command("doctor", examples=EXAMPLES)
def doctor() -> None:
    """Say what this machine can do, and what is missing.

    Looks at Python, plugins, isolation, programs, packages and ports.
    Exits with 1 only if no model could be served. Works without a server.
    """
    common = Common.of()
    checks = list(all_checks(data_dir_of(common)))
    works = all(check.state is not State.FATAL for check in checks)
    if common.json:
        write_json({"ok": works, "checks": [check.as_dict() for check in checks]})
    else:
        _write(checks, works)
    if not works:
        raise Exit(EXIT_FAILED)


def _write(checks: Iterable[Check], works: bool) -> None:
    rows, last = [], ""
    for check in checks:
        group = f"[bold]{check.group}[/]" if check.group != last else ""
        last = check.group
        text = escaped(check.detail) + (f"\n[cyan]{escaped(check.hint)}[/]" if check.hint else "")
        rows.append((group, escaped(check.name), SIGNS[check.state], text))
    write_table(("", "", "", ""), rows, fold=True)
    if works:
        click.secho("This machine can serve models.", fg="green")
    else:
        click.secho("This machine cannot serve models yet; see what is fatal above.", fg="red")
