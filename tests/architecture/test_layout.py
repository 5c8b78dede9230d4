"""What the tree promises: sizes that stay readable, names that are not used, nothing foreign."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# What a compiler has made (`_pb2`) nobody reads.
SOURCES = sorted(
    path
    for pattern in ("prism_core/**/*.py", "plugins/*/src/**/*.py")
    for path in ROOT.glob(pattern)
    if not path.stem.endswith("_pb2")
)
# Every file beyond this was a pain to read, in all of the code bases that were looked at.
MAX_LINES = 450


def relative(path):
    return str(path.relative_to(ROOT))


def test_a_module_is_short_enough_to_read():
    long = {relative(path): len(path.read_text().splitlines()) for path in SOURCES}

    assert not {path: lines for path, lines in long.items() if lines > MAX_LINES}


def test_a_module_says_what_it_is_for():
    silent = [p for p in SOURCES if p.read_text() and not p.read_text().startswith(('"""', 'r"""'))]

    assert not silent


def test_no_module_has_a_name_that_says_nothing():
    vague = {"utils", "util", "helpers", "common", "misc", "manager", "managers"}

    assert not [relative(path) for path in SOURCES if path.stem in vague]


def test_constraints_name_no_host_and_no_path():
    lines = (ROOT / "constraints.txt").read_text().splitlines()

    assert lines
    assert all(re.match(r"[a-z0-9.-]+==[0-9a-z.]+( ; .+)?$", line) for line in lines)


def test_what_builds_leave_behind_is_not_committed():
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert not re.search(r"(^|/)(uv\.lock|__pycache__|\.venv|dist|[^/]+\.egg-info)(/|$)", tracked, re.M)
    assert not re.search(r"\.(pkl|joblib|onnx|skops|png)$", tracked, re.M)


def test_every_project_needs_the_same_python():
    projects = [ROOT / "pyproject.toml", *ROOT.glob("plugins/*/pyproject.toml")]

    assert {re.search(r'requires-python = "(.+)"', p.read_text())[1] for p in projects} == {">=3.11"}
