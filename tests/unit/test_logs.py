"""What the gateway logs, and what happens when nobody reads it."""

import json
import logging
from pathlib import Path

import pytest
import structlog

from prism_core import logs

pytestmark = pytest.mark.usefixtures("logging_kept")


class Unread:
    """The end of a pipe whose reader has gone, or of a terminal that was closed."""

    def write(self, text):
        raise BrokenPipeError

    def isatty(self):
        return False

    def flush(self):
        raise BrokenPipeError


def test_a_log_that_nobody_reads_harms_no_server(monkeypatch):
    monkeypatch.setattr("sys.stderr", Unread())
    logs.configure(json=True)

    structlog.get_logger("prism").info("server.ready")
    logging.getLogger("library").warning("told too")


def test_half_a_character_is_escaped_and_costs_no_line(capsys):
    logs.configure(json=True)

    structlog.get_logger("prism").info("upload.failed", name="a\udcff.pkl", path=Path("b"))

    line = json.loads(capsys.readouterr().err)
    assert (line["name"], line["event"]) == ("a\udcff.pkl", "upload.failed")


def test_a_line_is_json_for_programs(capsys):
    logs.configure(json=True)

    structlog.get_logger("prism").info("model.ready", version=3)

    assert '"version":3,"event":"model.ready","level":"info"' in capsys.readouterr().err
