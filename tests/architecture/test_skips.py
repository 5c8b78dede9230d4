"""Where everything is installed, a system test that is skipped fails (`conftest.py` of the project)."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = """
import pytest

@pytest.mark.system
def test_needs_a_program():
    pytest.skip("podman is not installed; apt-get install podman")

def test_needs_another_platform():
    pytest.skip("only on macOS")
"""


@pytest.mark.parametrize(("no_skip", "code"), [("", 0), ("1", 1)])
def test_a_skipped_system_test(tmp_path, no_skip, code):
    shutil.copy(ROOT / "conftest.py", tmp_path)
    (tmp_path / "test_toy.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = system: x\n")

    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:asyncio", "-p", "no:hypothesispytest"]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PRISM_NO_SKIP": no_skip}, capture_output=True, text=True
    )

    assert done.returncode == code, done.stdout
    assert ("1 failed, 1 skipped" if code else "2 skipped") in done.stdout
