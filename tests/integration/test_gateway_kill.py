"""After ``kill -9`` at any step of an upload, the old or the new state is there, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STEPS_BEFORE_COMMIT = (
    "store",
    "store.written",
    "store.renamed",
    "inspect",
    "environment",
    "start",
    "warm",
    "publish",
)


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """What was found after each kill; the first entry is an upload that was left alone."""
    directory = tmp_path_factory.mktemp("kill")
    command = [sys.executable, "-m", "tests.integration.gateway_kill", str(directory)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]


def test_every_step_was_killed(killed):
    steps = [found["step"] for found in killed]

    assert set(STEPS_BEFORE_COMMIT) <= set(steps)
    assert {"records.statement", "records.commit", "records.committed", "published"} <= set(steps)
    assert (killed[0]["code"], steps[0]) == (0, "end")
    # The last statements of an event may come after the answer, when nothing is killed any more.
    assert {found["code"] for found in killed if not found["step"].startswith("records.")} == {0, -9}


def test_the_old_or_the_new_state_is_found(killed):
    for found in killed:
        old = found["versions"] == [1] and found["aliases"] == {"latest": 1, "champion": 1}
        new = found["versions"] == [1, 2] and found["aliases"] == {"latest": 2, "champion": 2}
        assert old or new, found


def test_the_new_state_is_there_from_its_commit_on(killed):
    versions = {found["step"]: found["versions"] for found in killed}

    for step in STEPS_BEFORE_COMMIT:
        assert versions[step] == [1]
    assert versions["published"] == versions["end"] == [1, 2]


def test_the_change_of_where_traffic_goes_is_there_with_its_row(killed):
    for found in killed:
        assert found["changes"] == ["model.upload"][: len(found["versions"]) - 1]


def test_what_is_found_answers(killed):
    for found in killed:
        assert found["answers"] == [[2.0], [3.0]][: len(found["versions"])]


def test_nothing_is_left_over(killed):
    for found in killed:
        assert found["artifacts"] == found["digests"]
        assert found["replicas"] == [f"m-{n}-0" for n in found["versions"]]


def test_the_upload_can_be_done_again(killed):
    for found in killed:
        assert (found["again"], found["answer"]) == (2, [3.0])


def test_no_version_is_there_that_is_not_in_the_audit_log(killed):
    for found in killed:
        assert found["audit_fault"] == ""
        assert {f"m/{n}" for n in found["versions"]} <= set(found["uploads"]) <= {"m/1", "m/2"}, found
