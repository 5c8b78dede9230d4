"""Ask dialects, and believe nothing of what they return: their functions are a plugin's."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

import attrs

from prism_core.errors import PrismError, UnsupportedInput
from prism_core.serving import Dialect

PLAIN = frozenset({"", "identity"})


@attrs.frozen
class Spoken:
    """A path to which predictions are posted: whose it is, and the model and version in it, or ""."""

    dialect: Dialect
    model: str
    version: str


class Dialects:
    """Known dialects, by their paths.

    Parameters
    ----------
    dialects
        Where two know a path, it is the first one's.

    Attributes
    ----------
    headers, extensions
        Those of all of them.
    """

    def __init__(self, dialects: Iterable[Dialect] = ()) -> None:
        known = tuple(dialects)
        self._routes = [(re.compile(dialect.routes), dialect) for dialect in known]
        self.headers = sorted({name for dialect in known for name in dialect.headers})
        self.extensions = sorted({name for dialect in known for name in dialect.extensions})

    def find(self, path: str) -> Spoken | None:
        """Return what is asked for at ``path``, None where no dialect has a route there."""
        for pattern, dialect in self._routes:
            if found := pattern.fullmatch(path):
                groups = found.groupdict("")
                return Spoken(dialect, groups["model"], groups.get("version", ""))
        return None


def media_type_of(dialect: Dialect, headers: Mapping[str, str]) -> str:
    """Return the media type in which the runtime gets a body; header names are lower case.

    Raises
    ------
    UnsupportedInput
        If the body is packed in a way that the runtime does not unpack.
    Exception
        Whatever the dialect raises; `TypeError` for what is no text.
    """
    check_encoding(headers.get("content-encoding", ""), dialect.encodings)
    media_type = dialect.read(headers)
    if not isinstance(media_type, str):
        raise TypeError(f"{dialect.read!r} returned no media type: {media_type!r:.200}")
    return media_type


def check_encoding(encoding: str, unpacked: frozenset[str] = frozenset()) -> None:
    """Refuse a body that is packed, but for what is ``unpacked`` where somebody counts how long it gets.

    Raises
    ------
    UnsupportedInput
        A thousandth of a limit could unpack to all of it.
    """
    if encoding.strip().lower() in PLAIN | unpacked:
        return
    known = f"{', '.join(sorted(unpacked))}, or " if unpacked else ""
    raise UnsupportedInput(
        f"Bodies in Content-Encoding {encoding[:40]!r} are not read.",
        hint=f"Send {known}the body as it is, without compression.",
    )


def written(dialect: Dialect, body: bytes | memoryview) -> tuple[bytes, bytes | memoryview]:
    """Return the header lines of an answer that came from a runtime, and what is sent as its body.

    Raises
    ------
    Exception
        Whatever the dialect raises; `TypeError` and `ValueError` for what is no answer.
    """
    lines, sent = dialect.write(body)
    if lines[-2:] != b"\r\n" or b"\r\n\r\n" in lines or memoryview(sent).nbytes != len(sent):
        raise ValueError(f"{dialect.write!r} returned no header lines and body: {lines!r:.200}")
    return lines, sent


def said(problem: Callable[[PrismError], tuple[str, bytes]], error: PrismError) -> tuple[bytes, bytes]:
    """Return media type and body of an error in a plugin's words, as they may be sent.

    Raises
    ------
    Exception
        Whatever the plugin raises; `TypeError` and `ValueError` for what is no answer.
    """
    media_type, body = problem(error)
    told = media_type.encode("latin-1")
    if not told.strip() or b"\r" in told or b"\n" in told or not isinstance(body, bytes):
        raise ValueError(f"{problem!r} returned no media type and body: {(media_type, body)!r:.200}")
    return told, body
