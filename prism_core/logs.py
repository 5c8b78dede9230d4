"""Set up structlog for the gateway: readable in a terminal, JSON lines for programs, on stderr.

structlog is imported when it is asked for: it costs the command line 80 ms. A line is an
event name and facts: ``log.info("model.ready", model="churn", version=3)``.
"""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from typing import Any, TextIO


def configure(level: str = "info", *, json: bool | None = None) -> None:
    """Send structlog and the standard library's logging to stderr.

    Parameters
    ----------
    level
        ``debug``, ``info``, ``warning`` or ``error``.
    json
        Whether to write JSON lines; None: where stderr is no terminal.
    """
    import structlog

    number = logging.getLevelNamesMapping()[level.upper()]
    as_json = not sys.stderr.isatty() if json is None else json
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso" if as_json else "%H:%M:%S", utc=as_json),
            *_rendering(as_json),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(_Unfailing(sys.stderr)),  # type: ignore[arg-type]  # it writes and flushes
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_Forward()], level=max(number, logging.WARNING), force=True)


def writes_json() -> bool:
    """Return whether this process logs JSON lines, so that one that it starts can do the same."""
    import structlog

    return isinstance(structlog.get_config()["processors"][-1], structlog.processors.JSONRenderer)


class _Unfailing:
    """A stream whose reader may go away: a server must not fail because nobody reads its log."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write, or do without."""
        with suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        """Flush, or do without."""
        with suppress(OSError):
            self._stream.flush()


def _rendering(as_json: bool) -> list[Any]:
    import structlog

    if not as_json:
        return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    return [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(serializer=_json),
    ]


def _json(event: Any, **_: Any) -> str:
    import msgspec

    try:
        return msgspec.json.encode(event, enc_hook=repr).decode()
    except UnicodeEncodeError:  # half a character, as names of files have for bytes that are no text
        import json

        return json.dumps(event, default=repr)


class _Forward(logging.Handler):
    """Hand what libraries log to structlog, so that stderr has one format."""

    def emit(self, record: logging.LogRecord) -> None:
        import structlog

        log = structlog.get_logger(record.name)
        log.log(
            record.levelno,
            record.getMessage(),
            logger=record.name,
            exc_info=record.exc_info or None,
        )
