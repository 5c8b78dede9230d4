"""What a hostile model can do at each level, tried from inside a real replica; and the page that tells it."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from prism_core.isolation.process import start_method

from .conftest import NOBODY, as_nobody, ground, victim, without_bubblewrap
from .prism_hostile import ATTACKS

pytestmark = pytest.mark.skipif(start_method()[0] != "zygote", reason="the sandbox is Linux's")

PAGE = Path(__file__).parents[3] / "docs" / "explanation" / "sandbox.md"
LEVELS = ("off", "limits", "landlock", "namespaces")
SHUT_IN = LEVELS[2:]


def told() -> dict[str, dict[str, bool]]:
    """Return what the page's table says: attack -> level -> whether it succeeds."""
    rows = [line.strip("| ").split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    return {
        name.replace(" ", "_"): dict(zip(LEVELS, (cell == "works" for cell in cells), strict=True))
        for name, *cells in rows
        if len(cells) == len(LEVELS) and cells[0] in ("works", "fails")
    }


TOLD = told()


# Where nothing protects, it is enough to look now and then that the page says so.
@pytest.fixture(
    scope="module",
    params=["namespaces", "landlock", "off", pytest.param("limits", marks=pytest.mark.sweep)],
)
def found(request):
    """A server whose models are shut in as far as one level, and that level."""
    level = request.param
    wish = {"off": "off", "limits": "best"}.get(level, "required")
    with ground() as root, ExitStack() as stack:
        # For the server alone: this fixture is still there while others of the module run.
        with pytest.MonkeyPatch.context() as patch:
            if level == "limits":
                patch.setenv("HOSTILE_NO_SANDBOX", "1")
            if level == "landlock":
                without_bubblewrap(patch)
            found = stack.enter_context(victim(root, wish))
        assert found.level() == level
        yield level, found


def test_the_page_tells_of_every_attack():
    assert TOLD.keys() == ATTACKS.keys()
    assert not any(TOLD[name][level] for name in ATTACKS for level in SHUT_IN)


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_ends_as_the_page_says_and_the_server_goes_on(found, name):
    level, victim = found

    assert victim.attack(name) == TOLD[name][level]
    assert victim.answers()


@pytest.mark.sweep
def test_the_standard_event_loop_gets_along_without_sockets_too():
    with ground() as root:
        (root / "site" / "uvloop.py").write_text("raise ImportError('not in this test')\n")
        with victim(root, "required") as found:
            assert "the standard event loop is used" in found.server.run("logs", "calm").stdout
            assert found.answers()


@pytest.mark.sweep
@pytest.mark.parametrize("level", SHUT_IN)
def test_no_attack_succeeds_for_a_plain_user_either(level):
    if os.getuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("only root can become somebody else; this very account was tested above")
    prefix = as_nobody()
    if level == "landlock":
        prefix = (*prefix, "env", f"PATH={Path(sys.executable).parent}")
    with ground(NOBODY) as root, victim(root, "required", prefix) as found:
        assert found.level() == level
        succeeded = [name for name in ATTACKS if found.attack(name)]
        assert found.answers()

    assert not succeeded
