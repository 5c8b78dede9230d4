"""Directories that end with their process."""

import fcntl
import subprocess
import sys

from prism_podman.private import LOCK, PREFIX, private_directory


def test_only_its_user_may_enter_it(tmp_path):
    with private_directory(tmp_path) as directory:
        assert directory.stat().st_mode & 0o777 == 0o700

    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_swept(tmp_path):
    code = (
        "import os, pathlib; from prism_podman.private import private_directory\n"
        f"with private_directory(pathlib.Path({str(tmp_path)!r})): os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    assert len(list(tmp_path.iterdir())) == 1

    with private_directory(tmp_path) as directory:
        assert list(tmp_path.iterdir()) == [directory]


def test_what_lives_or_is_being_made_is_left(tmp_path):
    made = tmp_path / f"{PREFIX}made"
    made.mkdir()
    with private_directory(tmp_path) as first, private_directory(tmp_path) as second:
        assert {first, second, made} == set(tmp_path.iterdir())
        with (first / LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_UN)  # another's descriptor: the lock stays
        with private_directory(tmp_path):
            assert first.exists()
