"""Links and keys in a browser: what opens a page, what does not, and what a stranger sees."""

from __future__ import annotations

import json
import os
import subprocess

import httpx
import pytest
from playwright.sync_api import expect

from prism_core.testing.server import ServerProcess
from tests.browser.conftest import await_ready

pytestmark = pytest.mark.system

DESCRIPTION = """
# Who leaves

<script>window.hacked="description"</script> [a link](javascript:window.hacked=8) ![a picture](http://elsewhere.test/p.png)
"""
NOTE = "Be gentle. <img src=x onerror=\"window.hacked='note'\">"
PASSWORD = "correct horse"


@pytest.fixture(scope="module")
def server(tmp_path_factory, artifact):
    """Return a server that asks for keys, with one model whose owner wrote hostile words."""
    model = {"path": str(artifact("churn")), "description": DESCRIPTION}
    config = json.dumps({"auth": "keys", "models": {"churn": model}})
    with ServerProcess(tmp_path_factory.mktemp("gates") / "data", config=config) as server:
        await_ready(server)
        yield server


@pytest.fixture
def owner(server):
    token = (server.data_dir / "admin-token").read_text()
    with httpx.Client(
        base_url=f"{server.facts['admin']}/admin/v1", headers={"Authorization": f"Bearer {token}"}, timeout=30
    ) as client:
        yield client


@pytest.fixture
def share(owner):
    """Make a link; return where its page is, and its token."""

    def make(**wish):
        made = owner.post("links", json={"model": "churn", **wish}).raise_for_status().json()
        return f"/s/{made['slug']}", made["token"]

    return make


def predict(page):
    page.get_by_text("Fill with an example").click()
    page.get_by_role("button", name="Predict").first.click()


def is_open(page):
    expect(page.get_by_role("heading", level=1)).to_have_text("churn")


# --- links ------------------------------------------------------------------------------------


def test_the_address_alone_opens_the_page(visit, share, server):
    """The token stands behind the #, which no request ever holds."""
    path, token = share(note=NOTE, uses=3)
    asked = []
    page = visit("/s/nothing")
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{server.url}{path}#{token}")
    is_open(page)
    predict(page)

    expect(page.locator("#answer .prediction")).to_be_visible()
    expect(page.locator(".note")).to_contain_text("<img src=x")
    expect(page.locator(".prose")).to_contain_text("Who leaves")
    assert asked
    assert not [url for url in asked if token in url.partition("#")[0]]


def test_a_stranger_sees_neither_the_model_nor_what_it_takes(visit, share):
    path, _ = share(note=NOTE)
    page = visit(path)

    expect(page.get_by_label("Token")).to_be_visible()
    assert not [word for word in ("churn", "tenure", "gentle", "stays") if word in page.content()]


def test_a_wrong_token_is_told_and_a_right_one_opens(visit, share, watch):
    path, token = share()
    page = visit(path)
    page.get_by_label("Token").fill("prl_wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("does not open it")
    page.get_by_label("Token").fill(token)
    page.keyboard.press("Enter")

    is_open(page)


@pytest.mark.parametrize("script", [True, False])
def test_a_password_is_asked_for_and_the_visit_lasts(visit, share, script):
    path, token = share(password=PASSWORD)
    page = visit(f"{path}#{token}", script=script)
    for password in ("wrong", PASSWORD):
        if page.get_by_label("Token").is_visible():
            page.get_by_label("Token").fill(token)
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Open").click()
        if password == "wrong":
            expect(page.get_by_role("alert")).to_contain_text("does not open it")
    is_open(page)
    predict(page)
    expect(page.locator("#answer .prediction")).to_be_visible()
    page.goto(page.url.partition("#")[0].partition("?")[0])

    is_open(page)


def test_the_copied_command_opens_the_link_with_its_token(visit, share):
    path, token = share()
    page = visit(f"{path}#{token}")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator("#requests summary", has_text="curl").click()
    page.locator("#requests details", has_text="curl").get_by_role("button").click()
    expect(page.locator("#requests details", has_text="curl").get_by_role("button")).to_have_text("Copied")
    command = page.evaluate("navigator.clipboard.readText()")
    done = subprocess.run(
        ["sh", "-c", f"{command} --silent --fail"],
        capture_output=True, text=True, timeout=30, check=True, env=os.environ | {"PRISM_TOKEN": token},
    )  # fmt: skip

    assert json.loads(done.stdout)["predictions"][0] in ("leaves", "stays")


def test_a_link_that_ends_during_a_visit_says_so(visit, share, watch):
    path, token = share(uses=1)
    page = visit(f"{path}#{token}")
    for _ in range(2):
        is_open(page)
        predict(page)
        page.locator("#answer .prediction, .gate, #answer .problem").first.wait_for()

    expect(page.locator("body")).to_contain_text("ended")
    assert set(watch.refused) == {410}


def test_a_revoked_link_leads_nowhere(visit, share, owner, watch):
    path, token = share()
    page = visit(f"{path}#{token}")
    is_open(page)
    owner.delete(f"links/{path.rpartition('/')[2]}").raise_for_status()
    predict(page)
    expect(page.locator("body")).to_contain_text("leads nowhere")
    page.reload()

    expect(page.get_by_role("heading", level=1)).to_have_text("This link leads nowhere")
    assert set(watch.refused) == {404}


def test_a_link_whose_time_is_over_is_told_to_people(visit, share, owner, watch):
    path, _ = share(expires_s=0.2)
    slug = path.rpartition("/")[2]
    while not next(one for one in owner.get("links").json()["links"] if one["slug"] == slug)["expired"]:
        pass
    page = visit(path)

    expect(page.get_by_role("heading", level=1)).to_have_text("This link has ended")
    assert watch.refused == [410]


# --- keys -------------------------------------------------------------------------------------


def test_a_server_that_asks_for_keys_is_opened_by_one(visit, owner, watch):
    key = owner.post("keys", json={"models": ["churn"]}).raise_for_status().json()["key"]
    page = visit("/model/churn")
    page.get_by_label("API key").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("does not open it")
    page.get_by_label("API key").fill(key)
    page.keyboard.press("Enter")
    is_open(page)
    predict(page)

    expect(page.locator("#answer .prediction")).to_be_visible()
    assert set(watch.refused) == {401}


# --- everybody --------------------------------------------------------------------------------


@pytest.mark.parametrize("look", ["light", "dark phone"])
def test_gates_and_ends_can_be_read_by_everybody(visit, share, server, axe, picture, look):
    path, _ = share(password=PASSWORD)
    page = visit(path, dark="dark" in look, phone="phone" in look)
    found = []
    for place in (f"{path}?refused=unauthorized", "/s/nothing", "/model/churn"):
        page.goto(server.url + place)
        picture(page, f"{look}-stop-{page.title()}")
        found += axe(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]

    assert found == []
