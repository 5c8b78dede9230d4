"""From an empty directory to a stranger's answer, by what is typed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest

from prism_core.testing.server import PRISM
from tests.network.stranger import Shared, visiting

pytestmark = pytest.mark.sweep


@pytest.fixture
def prism(net, tmp_path):
    """Type ``prism ...`` on the laptop, in an empty directory of somebody who has never used it."""
    home = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data")}
    env = {name: value for name, value in os.environ.items() if not name.startswith("PRISM_")} | home

    def typed(*words: str) -> subprocess.CompletedProcess[str]:
        command = [*net.laptop.prefix, *PRISM, *words]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done

    yield typed
    typed("serve", "--stop")


def test_a_model_is_shared_and_revoked(net, relay, models, prism, tmp_path):
    shutil.copy(models / "3.pkl", tmp_path / "triple.pkl")
    prism("relay", "join", relay.join("ann"))
    made = json.loads(prism("share", "triple.pkl", "--tunnel", "relay", "--detach", "--json").stdout)
    link = Shared(made["url"], made["predict_url"], made["token"], made["slug"], 3)

    assert link.base == "http://ann.links.example.org"
    with visiting(net.stranger, link) as visit:
        assert visit.predict(link, 5).is_right(5, 3)
        assert visit.predict(link, 5, Authorization="Bearer guessed").status == 401
        page = visit.ask("GET", f"/s/{link.slug}", None, {"Accept": "text/html"})
    assert page.headers["content-type"].startswith("text/html")
    assert b"triple" not in page.body, "who shows no token does not learn what is behind it"
    assert made["slug"] in prism("links").stdout

    prism("unshare", made["slug"])
    with visiting(net.stranger, link) as visit:
        # It was the last link, so the tunnel is closed too; then it is the relay that says so.
        assert visit.predict(link, 5).status in (404, 503)


def test_what_is_printed_works_as_pasted(net, relay, models, prism, tmp_path):
    shutil.copy(models / "4.pkl", tmp_path / "fourfold.pkl")
    prism("relay", "join", relay.join("bob"))
    said = prism("share", "fourfold.pkl", "--tunnel", "relay", "--detach").stdout
    (curl,) = [line for line in said.splitlines() if line.startswith("curl ")]

    answer = json.loads(net.stranger.run("sh", "-c", curl + " -sS").stdout)

    assert answer["model"] == "fourfold"
    assert len(answer["predictions"]) == 1
