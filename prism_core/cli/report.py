"""How a command fails: a message and the next step on stderr, and an exit code."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import rich_click as click
from click.exceptions import Exit

from prism_core.cli import EXIT_FAILED, EXIT_INSTALLATION, EXIT_INTERRUPTED
from prism_core.cli.options import Common
from prism_core.errors import PluginConflict, PluginLoadError, PrismError

# More problems than this are counted, not listed; --json has them all.
MAX_LISTED = 20
# The end of a replica's log says why it died.
MAX_LOG_LINES = 12


@contextmanager
def reported(ctx: click.Context) -> Iterator[None]:
    """Tell every error of the block on stderr and leave with its exit code.

    click's own usage errors pass through: click shows them with the command's usage.
    """
    try:
        yield
    except (click.ClickException, Exit, BrokenPipeError):
        raise
    except (KeyboardInterrupt, click.Abort):
        ctx.exit(EXIT_INTERRUPTED)
    except Exception as error:
        common = Common.of(ctx)
        tell(as_prism_error(error), common)
        if common.debug:
            traceback.print_exception(error)
        ctx.exit(exit_code(error))


def exit_code(error: Exception) -> int:
    """Return 3 for a broken installation, else 1."""
    broken = isinstance(error, PluginLoadError | PluginConflict | ImportError)
    return EXIT_INSTALLATION if broken else EXIT_FAILED


def as_prism_error(error: Exception) -> PrismError:
    """Return ``error`` in PRISM's words."""
    if isinstance(error, PrismError):
        return error
    if isinstance(error, ModuleNotFoundError):
        return PrismError(
            f"The package {error.name!r} is not installed.", hint="pip install 'prism-core[server]'"
        )
    if isinstance(error, OSError):
        where = f": {error.filename}" if error.filename else ""
        return PrismError(f"{error.strerror or error}{where}")
    return PrismError(
        f"prism failed unexpectedly: {type(error).__name__}: {error}", hint="Run it again with --debug."
    )


def tell(error: PrismError, common: Common) -> None:
    """Write ``error`` on stderr: a problem object with ``--json``, else text."""
    if common.json:
        problem = {"code": error.code, "detail": error.message, "hint": error.hint, "details": error.details}
        print(json.dumps({"error": problem}, default=str), file=sys.stderr)
        return
    click.secho("Error: ", fg="red", bold=True, nl=False, err=True)
    click.echo(error.message, err=True)
    for line in _listed(error):
        click.echo(f"  {line}", err=True)
    for line in error.details.get("log", ())[-MAX_LOG_LINES:]:
        click.secho(f"  | {line}", dim=True, err=True)
    if error.hint:
        click.secho(f"  {error.hint}", fg="cyan", err=True)
    if error.details.get("error_id"):
        click.secho(f"  error_id: {error.details['error_id']}", dim=True, err=True)


def _listed(error: PrismError) -> list[str]:
    """Return the single problems that the message only counts."""
    found = error.details.get("errors")
    if not isinstance(found, list) or len(found) < 2:
        return []
    lines = [_line(problem) for problem in found]
    more = len(lines) - MAX_LISTED
    return lines[:MAX_LISTED] + ([f"... and {more} more"] if more > 0 else [])


def _line(problem: object) -> str:
    if not isinstance(problem, dict):
        return str(problem)
    text = problem.get("text") or problem.get("message")
    if not text and "expected" in problem:
        text = f"{_place(problem)}expected {problem['expected']}, got {problem.get('got', 'something else')}"
    return f"{text or json.dumps(problem, default=str)} {problem.get('hint', '')}".rstrip()


def _place(problem: dict[str, Any]) -> str:
    parts = [f"{key} {problem[key]}" for key in ("input", "row", "column") if problem.get(key) is not None]
    return f"{', '.join(parts)}: " if parts else ""
