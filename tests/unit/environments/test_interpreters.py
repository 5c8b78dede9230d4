import platform
import sys

import pytest

from prism_core.environments.interpreters import interpreter, own
from prism_core.environments.uv import Uv


@pytest.fixture
def pyenv(tmp_path, monkeypatch):
    """Let pyenv have Pythons that say what they are, some of them not true."""
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))

    def put(directory, says):
        path = tmp_path / "versions" / directory / "bin" / "python"
        path.parent.mkdir(parents=True)
        path.write_text(f"#!/bin/sh\n{says}\n")
        path.chmod(0o755)
        return str(path)

    return put


NOWHERE = Uv("/no/uv/is/asked", 1)


@pytest.mark.parametrize("wanted", ["", f"3.{sys.version_info.minor}", ">=3.11", platform.python_version()])
async def test_the_servers_own_is_taken_where_it_fits(wanted):
    assert await interpreter(NOWHERE, wanted) == own()


async def test_the_newest_of_pyenv_that_fits_is_found(pyenv):
    for version in ("3.98.0", "3.98.10", "3.98.9", "3.97.1"):
        path = pyenv(version, f"echo {version} cpython $0")

    found = await interpreter(NOWHERE, "3.98")

    assert (found.version, found.minor) == ("3.98.10", "3.98")
    assert found.path == path.replace("3.97.1", "3.98.10")


async def test_one_that_does_not_answer_is_passed_over(pyenv):
    pyenv("3.98.3", "exit 1")
    pyenv("3.98.2", "echo what is this")
    pyenv("3.98.1", "echo 3.98.1 pypy $0")
    pyenv("3.98.0", "echo 3.98.0 cpython $0")

    assert (await interpreter(NOWHERE, "3.98")).version == "3.98.0"
