"""The lines of the audit log: a chain in which every entry holds the digest of the one before.

A line is an entry as JSON whose last key, ``hash``, is the SHA-256 of all before it:
``sha256(line without ',"hash":"..."')``. Nothing here writes; `read` and `verify` need no server.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import msgspec

# Both lie in the data directory.
FILE, HEAD_FILE = "audit.jsonl", "audit.head"
# What the first entry follows.
GENESIS = "0" * 64
# Written by a server that finds something else than its last entry at the end of the file.
REPAIRED = "audit.repaired"

_MARK = b',"hash":"'
_SEAL_BYTES = len(_MARK) + len(GENESIS) + len('"}')


class Actor(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who did it.

    ``by`` is ``admin`` (who has the admin token; ``token`` begins its SHA-256), ``server`` (the server
    itself, started by the account ``user``) or ``unknown`` (who has no valid token). ``request`` is the
    X-Request-Id.
    """

    by: str
    user: str = ""
    token: str = ""
    address: str = ""
    request: str = ""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry. ``subject`` is what it was done to: ``churn``, ``churn/3``, a key's id, a URL."""

    seq: int
    at: str
    actor: Actor
    action: str
    subject: str
    facts: dict[str, Any]
    previous: str


class BrokenLine(Exception):
    """A line that is not the entry that it should be; the text says why."""


@attrs.frozen
class Head:
    """How long a chain is, and the digest of its last entry."""

    count: int = 0
    hash: str = GENESIS

    def __str__(self) -> str:
        return f"{self.count}:{self.hash}"

    @classmethod
    def parse(cls, text: str) -> Head:
        """Read ``COUNT:HASH``; raises ``ValueError``."""
        count, _, digest = text.strip().partition(":")
        if not count.isdecimal() or len(digest) != len(GENESIS):
            raise ValueError(f"{text[:100]!r} is not COUNT:HASH, as `prism audit verify` prints it")
        return cls(int(count), digest)

    def follow(self, line: bytes) -> tuple[Entry, Head]:
        """Return the entry of the next line (without its end) and the head that it makes.

        Raises
        ------
        BrokenLine
            If it is not an entry, or not the one after this.
        """
        entry, made = opened(line)
        if entry.seq != self.count + 1:
            raise BrokenLine(f"it is entry {entry.seq}, and {self.count + 1} should follow")
        if entry.previous != self.hash:
            raise BrokenLine(f"it does not follow the entry before it, whose digest is {self.hash[:12]}...")
        return entry, made


def sealed(entry: Entry) -> tuple[bytes, Head]:
    """Return the line of an entry, and the head that it makes."""
    body = msgspec.json.encode(entry, enc_hook=str)
    head = Head(entry.seq, hashlib.sha256(body[:-1]).hexdigest())
    return b'%b%b%b"}\n' % (body[:-1], _MARK, head.hash.encode()), head


def opened(line: bytes) -> tuple[Entry, Head]:
    """Return the entry of a line (without its end), whatever it follows; `BrokenLine` if there is none."""
    body, seal = line[:-_SEAL_BYTES], line[-_SEAL_BYTES:]
    digest = hashlib.sha256(body).hexdigest()
    if not seal.startswith(_MARK) or not line.endswith(b'"}'):
        raise BrokenLine("it is not an entry")
    if seal != b'%b%b"}' % (_MARK, digest.encode()):
        raise BrokenLine("its digest is not that of its text")
    try:
        entry = msgspec.json.decode(body + b"}", type=Entry)
    except msgspec.MsgspecError as error:
        raise BrokenLine("it is not an entry") from error
    return entry, Head(entry.seq, digest)


@attrs.define
class Report:
    """What `verify` found.

    Attributes
    ----------
    head
        Of the chain up to the first fault.
    line
        The number of the first broken line, 0 where there is none.
    fault
        What is wrong, "" for nothing.
    notes
        What is no fault and yet worth knowing.
    """

    head: Head = Head()
    line: int = 0
    fault: str = ""
    notes: list[str] = attrs.field(factory=list)


def verify(lines: Iterable[bytes], kept: Head = Head(), known: Head = Head()) -> Report:
    """Follow the chain through all ``lines``, each with its end.

    Parameters
    ----------
    kept
        The head that the server keeps beside the log: entries up to there must be there.
    known
        A head that somebody noted earlier, elsewhere.
    """
    report = Report()
    torn: list[bytes] = []
    for number, line in enumerate(lines, 1):
        try:
            entry, head = report.head.follow(line.rstrip(b"\n"))
        except BrokenLine as reason:
            if not torn:
                report.line, report.fault = number, str(reason)
            torn.append(line)
            continue
        if torn and not _closes(entry, b"".join(torn)):
            return report
        if torn:
            report.notes.append(f"Line {report.line} was torn by a crash; entry {entry.seq} closes it.")
            report.line, report.fault, torn = 0, "", []
        report.head = head
        if fault := _said(entry) or _differs(head, kept) or _differs(head, known):
            report.line, report.fault = number, fault
            return report
    return _ended(report, b"".join(torn), max(kept, known, key=lambda head: head.count))


def _closes(entry: Entry, torn: bytes) -> bool:
    return entry.action == REPAIRED and entry.facts.get("sha256") == hashlib.sha256(torn).hexdigest()


def _said(entry: Entry) -> str:
    missing = entry.facts.get("missing") if entry.action == REPAIRED else 0
    return f"at {entry.at} the server found {missing} entries missing before it" if missing else ""


def _differs(head: Head, noted: Head) -> str:
    same = head.count != noted.count or head.hash == noted.hash
    return "" if same else f"entry {head.count} is not the one that was noted"


def _ended(report: Report, torn: bytes, noted: Head) -> Report:
    if b"\n" in torn:
        return report
    if report.head.count < noted.count:
        missing = noted.count - report.head.count
        report.fault = f"{missing} entries are missing at the end: {noted.count} have been written"
    elif torn:
        report.notes.append(f"Line {report.line} is not whole: it is being written, or a crash tore it.")
        report.line, report.fault = 0, ""
    return report


def kept_head(data: Path) -> Head:
    """Return the head that the server keeps beside the log; the empty one where it cannot be read."""
    try:
        return Head.parse((data / HEAD_FILE).read_text("ascii", "replace"))
    except (OSError, ValueError):
        return Head()


def read(data: Path) -> Iterator[bytes]:
    """Yield the lines of the log in a data directory, with their ends."""
    with (data / FILE).open("rb") as file:
        yield from file


def is_about(entry: Entry, model: str) -> bool:
    """Return whether an entry is about a model, one of its versions or aliases, or names it in its facts."""
    told: Mapping[str, Any] = entry.facts
    named = told.get("models") or ()
    own = entry.subject == model or entry.subject.startswith((f"{model}/", f"{model}@"))
    return own or told.get("model") == model or (isinstance(named, list) and model in named)
