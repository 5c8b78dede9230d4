"""Other releases of scikit-learn: every estimator, served in an environment of its own, answers as itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import prism_core
import prism_sklearn

pytestmark = [pytest.mark.sweep, pytest.mark.system]

HERE = Path(__file__).parent
SOURCES = [Path(module.__file__).parents[1] for module in (prism_core, prism_sklearn)]
RUNTIME = ("attrs", "joblib", "msgspec", "orjson", "pluggy")
UV = Path(sys.executable).with_name("uv")
# The oldest that is served, with the oldest numpy; and one between it and what the server has.
RELEASES = {
    "1.2.2": ("scikit-learn==1.2.2", "numpy==1.23.5", "scipy==1.10.1"),
    "1.5.2": ("scikit-learn==1.5.2",),
}


def uv(*words: str) -> None:
    """Run uv; skip the test where it cannot have what it is asked for."""
    done = subprocess.run([UV, "--quiet", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"uv cannot do that here, is the index reachable? {done.stderr.strip()[-300:]}")


@pytest.mark.parametrize("release", RELEASES)
def test_every_estimator_of_another_release_answers_as_itself(release, tmp_path):
    environment = tmp_path / "environment"
    python = environment / "bin" / "python"
    uv("venv", "--no-project", "--python", sys.executable, str(environment))
    uv("pip", "install", "--python", str(python), "--only-binary", ":all:", *RUNTIME, *RELEASES[release])
    variables = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, SOURCES))}

    done = subprocess.run(
        [python, HERE / "answers.py"], capture_output=True, text=True, env=variables, check=False
    )

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["asked"] > 170
    assert told["unfitted"].keys() <= {"LabelPropagation", "LabelSpreading"}
    assert told["wrong"] == {}
