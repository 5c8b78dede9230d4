"""Count the values of a body of text before any of them is made.

A value of two bytes takes thirty and more as an object. What stands between values is counted
by C, a megabyte at a time; a body too short to hold too many is not looked at.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator

from prism_core.limits import Limits

STEP_BYTES = 1 << 20


def check_values(body: memoryview, limits: Limits, *, lines: bool = False, escapes: bool = False) -> None:
    """Refuse a body whose commas, and with ``lines`` whose line ends, separate too many values.

    What stands in double quotes is text and separates nothing; with ``escapes`` a backslash
    may stand before a quote in it.

    Raises
    ------
    PayloadTooLarge
        If they are more than ``limits.max_values``.
    """
    if len(body) < limits.max_values:
        return
    for _ in check_values_steps(body, limits, lines=lines, escapes=escapes):
        pass


def check_values_steps(
    body: memoryview, limits: Limits, *, lines: bool = False, escapes: bool = False
) -> Generator[None, None, None]:
    """Do as `check_values`, in steps."""
    if len(body) < limits.max_values:
        return
    count = 0
    for part in _parts(body):
        count += _separators(part, lines)
        yield
    if count >= limits.max_values:
        limits.check_values(1 + sum(_separators(part, lines) for part in _unquoted(body, escapes)))


def _parts(body: memoryview) -> Iterator[bytes]:
    return (bytes(body[at : at + STEP_BYTES]) for at in range(0, len(body), STEP_BYTES))


def _separators(part: bytes, lines: bool) -> int:
    commas = part.count(b",")
    return commas + max(part.count(b"\n"), part.count(b"\r")) if lines else commas


def _unquoted(body: memoryview, escapes: bool) -> list[bytes]:
    """Return what stands outside of double quotes."""
    text = bytes(body)
    if escapes:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    return text.split(b'"')[::2]
