"""The audit log's file, and what is written into it when."""

import asyncio
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from prism_core.audit import FILE, HEAD_FILE, Actor, BrokenLine, kept_head, opened, read, verify
from prism_core.errors import AuditFailed, ModelNotFound
from prism_core.gateway.auditing import act_as, audited, open_audit
from prism_core.gateway.ledger import MAX_TEXT, Ledger, bounded

ADMIN = Actor("admin", token="ab12", address="127.0.0.1")


def logged(data: Path) -> list:
    return [opened(line.rstrip(b"\n"))[0] for line in read(data)]


def actions(data: Path) -> list[str]:
    return [entry.action for entry in logged(data)]


def check(data: Path):
    return verify(read(data), kept_head(data))


def written(data: Path, *names: str) -> None:
    ledger = Ledger(data, ADMIN)
    for name in names:
        ledger.append(ADMIN, name, "churn", {"version": 1})
    ledger.close()


# --- the file -------------------------------------------------------------------------------


def test_entries_of_several_starts_are_one_chain(tmp_path):
    written(tmp_path, "one", "two")
    written(tmp_path, "three")

    assert actions(tmp_path) == ["one", "two", "three"]
    assert (check(tmp_path).fault, check(tmp_path).head.count) == ("", 3)


def test_nobody_else_reads_it(tmp_path):
    written(tmp_path, "one")

    assert [(tmp_path / name).stat().st_mode & 0o777 for name in (FILE, HEAD_FILE)] == [0o600, 0o600]


@pytest.mark.parametrize("cut", [1, 2, 40, 200])
def test_a_line_that_a_crash_tore_is_closed_and_told(tmp_path, cut):
    written(tmp_path, "one", "two")
    whole = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(whole + whole.splitlines()[1][:-cut])  # the head does not know it
    written(tmp_path, "three")

    report = check(tmp_path)
    assert report.fault == ""
    assert "Line 3 was torn by a crash" in report.notes[0]
    assert logged_actions_of_whole_lines(tmp_path) == ["one", "two", "audit.repaired", "three"]


def logged_actions_of_whole_lines(data: Path) -> list[str]:
    found = []
    for line in read(data):
        try:
            found.append(opened(line.rstrip(b"\n"))[0].action)
        except BrokenLine:
            continue
    return found


def test_a_line_without_its_end_is_whole(tmp_path):
    written(tmp_path, "one")
    (tmp_path / FILE).write_bytes((tmp_path / FILE).read_bytes().rstrip(b"\n"))
    written(tmp_path, "two")

    assert actions(tmp_path) == ["one", "two"]


@pytest.mark.parametrize("left", [0, 1, 2])
def test_entries_that_were_cut_off_are_missed_at_the_next_start(tmp_path, left):
    written(tmp_path, "one", "two", "three")
    lines = (tmp_path / FILE).read_bytes().splitlines(keepends=True)
    (tmp_path / FILE).write_bytes(b"".join(lines[:left]))
    assert check(tmp_path).fault == f"{3 - left} entries are missing at the end: 3 have been written"

    written(tmp_path, "four")

    assert logged(tmp_path)[left].facts["missing"] == 3 - left
    assert f"found {3 - left} entries missing before it" in check(tmp_path).fault


def test_a_changed_last_entry_is_not_taken_for_a_torn_one(tmp_path):
    written(tmp_path, "one", "two")
    (tmp_path / FILE).write_bytes((tmp_path / FILE).read_bytes().replace(b'"two"', b'"six"'))
    written(tmp_path, "three")

    assert "1 entries missing" in check(tmp_path).fault


@contextmanager
def room_for(path: Path, size: int) -> Iterator[None]:
    """Let no file grow by more than ``size``; what is longer fits in part."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_an_entry_that_did_not_fit_is_closed_by_the_next(tmp_path):
    ledger = Ledger(tmp_path, ADMIN)
    ledger.append(ADMIN, "one", "", {})
    for _ in range(2):
        with room_for(tmp_path / FILE, 30), pytest.raises(OSError, match="File too large"):
            ledger.append(ADMIN, "two", "", {})
    ledger.append(ADMIN, "three", "", {})
    ledger.close()

    assert logged_actions_of_whole_lines(tmp_path) == ["one", "audit.repaired", "three"]
    assert check(tmp_path).fault == ""


def test_a_log_that_is_taken_away_is_missed_at_once(tmp_path):
    ledger = Ledger(tmp_path, ADMIN)
    ledger.append(ADMIN, "one", "", {})
    (tmp_path / FILE).unlink()
    ledger.append(ADMIN, "two", "", {})
    ledger.close()

    assert actions(tmp_path) == ["audit.repaired", "two"]
    assert "found 1 entries missing before it" in check(tmp_path).fault


def test_long_facts_are_cut(tmp_path):
    facts = bounded({"text": "x" * 100_000, "many": list(range(10_000)), "odd": "\ud800"})

    assert len(facts["text"]) == MAX_TEXT + 3
    assert facts["many"][-1] == "... 9800 more"
    assert facts["odd"] == "?"


# --- when -------------------------------------------------------------------------------------


class Desk:
    """Something with methods that are written down."""

    def __init__(self, audit, data):
        self.audit = audit
        self.data = data
        self.found = None

    @audited("alias.set")
    async def point(self, model: str, alias: str, version: int, fails: bool = False) -> int:
        self.found = actions(self.data)
        if fails:
            raise ModelNotFound("There is none.")
        return version


async def test_an_action_is_on_disk_before_it_is_done(tmp_path):
    async with open_audit(tmp_path) as audit:
        desk = Desk(audit, tmp_path)
        act_as(ADMIN)

        assert await desk.point("churn", alias="best", version=3) == 3
        assert desk.found == ["alias.set"]
    (entry,) = logged(tmp_path)
    assert (entry.subject, entry.facts, entry.actor) == ("churn@best", {"version": 3}, ADMIN)


async def test_an_action_that_fails_is_told_too(tmp_path):
    async with open_audit(tmp_path) as audit:
        with pytest.raises(ModelNotFound):
            await Desk(audit, tmp_path).point("churn", "best", 3, fails=True)

    assert actions(tmp_path) == ["alias.set", "alias.set.failed"]
    assert logged(tmp_path)[1].facts == {"code": "model_not_found"}
    assert logged(tmp_path)[1].actor.by == "server"


@pytest.fixture
def full_disk(tmp_path) -> Path:
    """A log on a disk that is full, until it is removed."""
    path = tmp_path / FILE
    path.symlink_to("/dev/full")
    return path


async def test_an_action_that_cannot_be_written_down_is_not_done(tmp_path, full_disk):
    async with open_audit(tmp_path) as audit:
        desk = Desk(audit, tmp_path)
        with pytest.raises(AuditFailed, match=r"No space left on device\. Nothing was changed"):
            await desk.point("churn", "best", 3)
        assert desk.found is None
        full_disk.unlink()
        await desk.point("churn", "best", 4)

    assert [entry.facts for entry in logged(tmp_path)] == [{"version": 4}]


async def test_what_could_not_be_noted_is_counted(tmp_path, full_disk):
    async with open_audit(tmp_path) as audit:
        await audit.note("admin.refused", requests=1)
        await audit.note("admin.refused", requests=1)
        full_disk.unlink()
        await audit.note("link.published", "http://prism")

    assert actions(tmp_path) == ["audit.missed", "link.published"]
    assert logged(tmp_path)[0].facts == {"entries": 2}


async def test_a_caller_that_leaves_is_told_too(tmp_path):
    async with open_audit(tmp_path) as audit:
        begun = asyncio.Event()

        async def act():
            async with audit.acting("model.stop", "churn"):
                begun.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(act())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert actions(tmp_path) == ["model.stop", "model.stop.failed"]


async def test_a_log_that_cannot_be_opened_keeps_no_server_from_starting(tmp_path):
    (tmp_path / FILE).mkdir()

    async with open_audit(tmp_path) as audit:
        with pytest.raises(AuditFailed):
            await audit.write("two")
