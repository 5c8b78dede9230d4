"""``prism audit`` on a data directory; no server runs."""

import json
from datetime import UTC, datetime, timedelta

import pytest
import rich_click as click

from prism_core.audit import FILE, Actor
from prism_core.cli.commands.audit import moment
from prism_core.gateway.ledger import Ledger

NOW = datetime(2026, 11, 26, 14, tzinfo=UTC)


@pytest.fixture
def log(tmp_path):
    """A log of two entries in the data directory of `prism`."""
    (tmp_path / "data").mkdir()
    ledger = Ledger(tmp_path / "data", Actor("server", user="me"))
    ledger.append(Actor("server", user="me"), "link.published", "http://prism", {"provider": "lan"})
    ledger.append(
        Actor("admin", token="ab12"), "model.upload", "churn/1", {"digest": "sha256:00", "alias": ""}
    )
    ledger.close()
    return tmp_path / "data" / FILE


def test_entries_are_listed_for_people(prism, log):
    result = prism("audit", "list")

    assert result.exit_code == 0
    *_, first, second = result.output.rstrip().splitlines()
    assert "server me" in first
    assert "model.upload" in second
    assert "digest=sha256:00" in second
    assert "alias" not in second


def test_entries_are_listed_for_programs(prism, log):
    (entry,) = json.loads(prism("audit", "list", "--json", "--model", "churn").output)

    assert (entry["seq"], entry["subject"], entry["actor"]) == (
        2,
        "churn/1",
        {"by": "admin", "token": "ab12"},
    )


@pytest.mark.parametrize(("since", "count"), [("1h", 2), ("2999-01-01", 0), ("2000-01-01T00:00+01:00", 2)])
def test_entries_since(prism, log, since, count):
    assert len(json.loads(prism("audit", "list", "--json", "--since", since).output)) == count


def test_a_whole_log_prints_its_head_which_can_be_given_later(prism, log):
    head = json.loads(prism("audit", "verify", "--json").output)["head"]

    assert prism("audit", "verify", "--known", head).exit_code == 0
    assert head in prism("audit", "verify").output


def test_a_changed_log_is_broken_and_the_line_is_named(prism, log):
    log.write_bytes(log.read_bytes().replace(b"churn/1", b"churn/2"))
    result = prism("audit", "verify")

    assert result.exit_code == 1
    assert "Line 2 of audit.jsonl is broken: its digest is not that of its text." in result.output


def test_a_log_that_was_cut_is_broken(prism, log):
    log.write_bytes(log.read_bytes().splitlines(keepends=True)[0])
    result = prism("audit", "verify", "--json")

    assert result.exit_code == 1
    assert "1 entries are missing at the end: 2 have been written" in result.output


@pytest.mark.parametrize("command", ["list", "verify"])
def test_no_log_is_told(prism, command):
    result = prism("audit", command)

    assert result.exit_code != 0
    assert "cannot be read: No such file or directory" in result.output


@pytest.mark.parametrize("command", ["list", "verify"])
def test_another_machines_log_cannot_be_read(prism, log, command):
    assert prism("audit", command, "--server", "http://elsewhere:8001").exit_code == 2


@pytest.mark.parametrize("known", ["3", "x:y"])
def test_what_is_no_head_is_wrong_usage(prism, log, known):
    assert prism("audit", "verify", "--known", known).exit_code == 2


@pytest.mark.parametrize(("text", "passed"), [("30s", 30), ("5min", 300), ("24h", 86400), ("7 d", 7 * 86400)])
def test_a_moment_ago(text, passed):
    assert moment(text, NOW) == NOW - timedelta(seconds=passed)


def test_a_date_without_a_zone_is_of_this_machine():
    assert moment("2026-11-26T14:00") == datetime(2026, 11, 26, 14).astimezone()


def test_what_is_no_moment():
    with pytest.raises(click.BadParameter, match="yesterday"):
        moment("yesterday")
