"""``prism audit``: read and check the audit log of a data directory. Works without a server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from prism_core.cli.client import data_dir_of
from prism_core.cli.options import Common, command, group
from prism_core.cli.output import escaped, warn, write_json, write_table
from prism_core.errors import ConfigError, PrismError

if TYPE_CHECKING:
    from prism_core.audit import Actor, Entry, Head, Report

COLUMNS = ("ENTRY", "TIME", "ACTOR", "ACTION", "SUBJECT", "FACTS")
_UNITS = {"s": "seconds", "min": "minutes", "h": "hours", "d": "days"}

LIST_EXAMPLES = """
prism audit list
prism audit list --since 24h --model churn
prism audit list --json
"""
VERIFY_EXAMPLES = """
prism audit verify
prism audit verify --known 12:5f1c...     # what an earlier run printed
"""


class AuditBroken(PrismError):
    """The audit log was changed, cut or damaged."""


def local_data() -> Path:
    """Return the data directory that is meant; one of another machine cannot be read from here."""
    common = Common.of()
    if common.server:
        raise click.UsageError(
            "The audit log is read from the data directory: run this where the server runs."
        )
    return data_dir_of(common)


@group("audit", examples=LIST_EXAMPLES.rstrip() + VERIFY_EXAMPLES)
def audit() -> None:
    """Read and check the log of who did what."""


@audit.add_command
@command("list", examples=LIST_EXAMPLES)
@click.option("--since", metavar="WHEN", help="Only later entries: 30min, 24h, 7d, or 2026-11-26T14:00.")
@click.option("--model", metavar="NAME", help="Only entries about this model, its versions and aliases.")
def list_entries(since: str | None, model: str | None) -> None:
    """Print the entries; as they stand, unchecked."""
    from prism_core.audit import is_about

    start = moment(since) if since else None
    found = [
        entry
        for entry in entries(local_data())
        if (start is None or datetime.fromisoformat(entry.at) >= start)
        and (model is None or is_about(entry, model))
    ]
    if Common.of().json:
        import msgspec

        write_json(msgspec.to_builtins(found))
    elif not found:
        click.echo("There are no such entries.")
    else:
        write_table(COLUMNS, map(_row, found))


@audit.add_command
@command("verify", examples=VERIFY_EXAMPLES)
@click.option("--known", metavar="COUNT:HASH", help="A head that an earlier run printed, noted elsewhere.")
def verify(known: str | None) -> None:
    """Follow the chain of digests from the first entry to the last.

    Exit code 1 names the first line that was changed, moved or taken out.
    """
    report = checked(local_data(), _head(known))
    for note in report.notes:
        warn(note)
    if report.fault:
        where = f"Line {report.line} of audit.jsonl" if report.line else "The audit log"
        raise AuditBroken(
            f"{where} is broken: {report.fault}.",
            hint=f"What stands before it is whole: {report.head.count} entries.",
            details={"line": report.line, "whole_entries": report.head.count},
        )
    if Common.of().json:
        write_json({"entries": report.head.count, "head": str(report.head), "notes": report.notes})
    else:
        click.echo(f"{report.head.count} entries, all whole. The head, to be noted elsewhere:\n{report.head}")


def checked(data: Path, known: Head) -> Report:
    """Return what the check of a data directory's log found."""
    from prism_core.audit import kept_head, read
    from prism_core.audit import verify as verified

    kept = kept_head(data)  # first: a server may be writing
    with _reading(data):
        return verified(read(data), kept, known)


def entries(data: Path) -> Iterator[Entry]:
    """Yield the entries of a data directory's log; lines that are none are left out with a warning."""
    from prism_core.audit import BrokenLine, opened, read

    with _reading(data):
        for number, line in enumerate(read(data), 1):
            try:
                yield opened(line.rstrip(b"\n"))[0]
            except BrokenLine as reason:
                warn(f"Line {number} is left out: {reason}. `prism audit verify` tells more.")


@contextmanager
def _reading(data: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"The audit log in {str(data)!r} cannot be read: {error.strerror}.",
            hint="A server writes it from its first start on; --data-dir says whose.",
        ) from error


def _head(text: str | None) -> Head:
    from prism_core.audit import Head

    try:
        return Head.parse(text) if text else Head()
    except ValueError as error:
        raise click.BadParameter(f"{error}.", param_hint="--known") from error


def moment(text: str, now: datetime | None = None) -> datetime:
    """Return the moment that ``24h`` (ago) or a date means."""
    if found := re.fullmatch(r"(\d+) ?(s|min|h|d)", text):
        return (now or datetime.now(UTC)) - timedelta(**{_UNITS[found[2]]: int(found[1])})
    try:
        read = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is neither 24h nor a date.", param_hint="--since") from error
    return read if read.tzinfo else read.astimezone()


def _row(entry: Entry) -> tuple[str, ...]:
    facts = "  ".join(f"{key}={value}" for key, value in entry.facts.items() if value not in ("", None))
    at = datetime.fromisoformat(entry.at).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    who, subject = escaped(_actor(entry.actor)), escaped(entry.subject)
    return str(entry.seq), at, who, f"[bold]{escaped(entry.action)}[/]", subject, escaped(facts)


def _actor(actor: Actor) -> str:
    told = (actor.by, actor.user, actor.token, actor.address)
    return " ".join(part for part in told if part)
