"""Names, and whom a request is for. No I/O.

A name is one label of a host: ``ann`` in ``ann.links.example.org``. With paths it may also be the
first segment, ``links.example.org/ann/...``; then all names share one origin in browsers.
"""

from __future__ import annotations

import re

import attrs

NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
# What a client may be given instead of a name: all that begin so.
PATTERN = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,60})?\*")
_HOST = re.compile(rb"([A-Za-z0-9.-]{1,253})(?::\d{1,5})?")


@attrs.frozen
class Wanted:
    """Whom a request is for, and what it asks of them.

    Parameters
    ----------
    name
        The name that is asked for.
    target
        Path and query as the name's owner sees them.
    prefix
        What was cut off the path's beginning, "" where the host named it.
    """

    name: str
    target: bytes
    prefix: str = ""


def is_name(text: str) -> bool:
    """Return whether a laptop could publish this name."""
    return NAME.fullmatch(text) is not None


def may_have(name: str, patterns: tuple[str, ...]) -> bool:
    """Return whether one of a client's names, or of its patterns such as ``ann-*``, is ``name``."""
    return any(
        name.startswith(one[:-1]) and name != one[:-1] if one.endswith("*") else name == one
        for one in patterns
    )


def host_of(value: bytes) -> str | None:
    """Return the host in a ``Host`` header, lower case and without port; None if it is none."""
    found = _HOST.fullmatch(value)
    return found[1].decode().lower().removesuffix(".") if found else None


def wanted(host: str, target: bytes, domain: str, *, paths: bool) -> Wanted | None:
    """Return whom a request is for, None where that is nobody whom this relay could know."""
    label, dot, rest = host.partition(".")
    if dot and rest == domain:
        return Wanted(label, target) if is_name(label) else None
    if not paths or host != domain:
        return None
    return _by_path(target)


def _by_path(target: bytes) -> Wanted | None:
    path, mark, query = target.partition(b"?")
    label, _, rest = path[1:].partition(b"/")
    name = label.decode("ascii", "replace")
    if not is_name(name):
        return None
    return Wanted(name, b"/" + rest + mark + query, f"/{name}")
