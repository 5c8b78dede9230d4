"""What uv says, in PRISM's words: progress as facts, failures as errors. No address of an index gets out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from prism_core.environment import Requirement
from prism_core.errors import EnvironmentFailed, PrismError, StorageFull

# What a message may hold of uv's explanation, and what the details may.
LONGEST_MESSAGE, LONGEST_DETAIL = 700, 4000

OTHERWISE = (
    "Name versions that go together by --requirements, another Python by --python, "
    "or use the server's own packages: --environment server."
)
WHEELS_ONLY = (
    "Only wheels are installed, so that nothing of a package runs meanwhile. Name a version that has one by "
    "--requirements, another Python by --python, or set `environments.allow_builds: true`."
)
NO_NETWORK = (
    "Is the network there, and uv's index set right? What uv has in its cache needs no network; "
    "--environment server uses the server's own packages."
)

_FACTS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"Resolved (?P<packages>\d+) packages?\b"), "resolved"),
    (re.compile(r"Downloading (?P<package>\S+) \((?P<size>.+)\)"), "downloading"),
    (re.compile(r"\s*Downloaded (?P<package>\S+)"), "downloaded"),
    (re.compile(r"Prepared (?P<packages>\d+) packages?\b"), "installing"),
    (re.compile(r"Installed (?P<packages>\d+) packages?\b"), "compiling"),
)
_UNREACHABLE = re.compile(
    r"error sending request|client error \(Connect\)|dns error|Could not connect|Network is unreachable"
    r"|operation timed out|Connection refused|connection reset",
    re.I,
)
# ENOSPC, EDQUOT and EFBIG, as Linux and macOS number them.
_FULL = re.compile(r"No space left|\(os error (28|122|69|27)\)")
_NO_WHEEL = re.compile(
    r"no usable wheels|no wheels with a matching|building from source is disabled|--no-build"
)
_DRAWN = re.compile(r"[×╰─▶│├]+|\bcause: |^error: ", re.M)


def facts_of(line: str) -> dict[str, Any]:
    """Return what a line of uv tells of its progress; {} for any other line."""
    for pattern, phase in _FACTS:
        if found := pattern.match(line):
            facts: dict[str, Any] = {"phase": phase, **found.groupdict()}
            return {key: int(value) if key == "packages" else value for key, value in facts.items()}
    return {}


def unreachable(said: str) -> bool:
    """Tell whether a run failed because a server could not be reached."""
    return bool(_UNREACHABLE.search(said))


def redacted(text: str) -> str:
    """Return a text without addresses, which may hold credentials, and without directories of wheels."""
    text = re.sub(r"\b(?!file:)[a-z][a-z0-9+.-]*://[^\s`'\"<>)\]]+", "<address>", text, flags=re.I)
    return re.sub(r"file://[^\s`'\"<>)\]]*/", "", text)


def explanation(said: str) -> str:
    """Return the part of what uv said that tells why it failed, in one line."""
    start = re.search(r"^\s*(error:|×)", said, re.M)
    text = redacted(said[start.start() :] if start else said)
    text = text.partition("\nhint:")[0]
    text = re.sub(r"No solution found when resolving dependencies:?", "", _DRAWN.sub(" ", text))
    return re.sub(r"\s+", " ", text).strip()


def mentioned(requirements: Iterable[Requirement], text: str) -> list[Requirement]:
    """Return those of ``requirements`` that a text names."""
    return [one for one in requirements if re.search(rf"(?<![\w-]){re.escape(one.name)}(?![\w-])", text)]


def failure(said: str, doing: str, requirements: Iterable[Requirement] = ()) -> PrismError:
    """Return the error of a run of uv that failed while ``doing`` something."""
    if _FULL.search(said):
        return StorageFull(
            "There is no space left for the model's environment.",
            hint="Free some space in the data directory or in uv's cache (`uv cache prune`), and try again.",
        )
    if "network was disabled" in said or "Network connectivity is disabled" in said:
        doing = "uv reaches no package index, and its cache has not all that the model needs"
    text = explanation(said)
    named = [one.name for one in mentioned(requirements, text)]
    details: Mapping[str, Any] = {"packages": named, "uv": redacted(said)[-LONGEST_DETAIL:]}
    return EnvironmentFailed(f"{doing}: {_short(text)}", hint=_hint(said), details=details)


def no_python(wanted: str, said: str) -> EnvironmentFailed:
    """Return the error of a Python that is neither here nor to be had."""
    return EnvironmentFailed(
        f"Python {wanted} is wanted, and uv neither finds it on this machine nor can download it.",
        hint=f"Install it, for instance with `uv python install {wanted}`, or leave --python out.",
        details={"uv": redacted(said)[-LONGEST_DETAIL:]},
    )


def _hint(said: str) -> str:
    if _NO_WHEEL.search(said):
        return WHEELS_ONLY
    if unreachable(said) or "network was disabled" in said:
        return NO_NETWORK
    return OTHERWISE


def _short(text: str) -> str:
    if len(text) <= LONGEST_MESSAGE:
        return text if text.endswith(".") else f"{text}."
    return f"{text[:LONGEST_MESSAGE].rsplit(' ', 1)[0]} ... (details.uv has all of it)."
