"""The page of a link, and its gate, as a browser without JavaScript meets them on a real server."""

from __future__ import annotations

import re

import httpx
import pytest

from prism_core.testing.server import ServerProcess
from tests.integration.callers.conftest import bearer
from tests.integration.logs.conftest import admin_of

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
NAME = "quite-a-secret"
PASSWORD = "correct horse"
ROW = {"way": "fields", "c0": "1"}


@pytest.fixture(scope="module")
def server(tmp_path_factory, models):
    with ServerProcess(tmp_path_factory.mktemp("pages") / "data", "--auth", "keys") as server:
        server.upload(models / "3.pkl", "--name", NAME)
        yield server


@pytest.fixture
def owner(server):
    with admin_of(server) as client:
        yield client


@pytest.fixture
def make(owner):
    """Make a link; return what is told of it."""

    def make_link(**wish):
        made = owner.post("/admin/v1/links", json={"model": NAME, **wish})
        assert made.status_code == 200, made.text
        return made.json()

    return make_link


@pytest.fixture
def browser(server):
    with httpx.Client(base_url=server.url, headers=BROWSER, timeout=30, follow_redirects=True) as client:
        yield client


def page_of(link):
    return f"/s/{link['slug']}"


def enter(browser, link, token=None, password=""):
    """Send the form of the gate."""
    shown = {"token": token or link["token"], "password": password}
    return browser.post(f"{page_of(link)}/open", data=shown)


def test_a_gate_says_nothing_of_the_model(browser, make):
    link = make(note="a note")

    gate = browser.get(page_of(link))

    assert gate.status_code == 200
    assert 'name="token"' in gate.text
    assert 'name="password"' not in gate.text
    for secret in (NAME, "a note", 'name="c0"', "Version"):
        assert secret not in gate.text


def test_the_token_opens_the_page_and_the_page_answers(browser, make):
    link = make(note="Try it, <b>Ann</b>.", uses=5)

    page = enter(browser, link)

    assert str(page.url).endswith(page_of(link))
    assert NAME in page.text
    assert "Try it, &lt;b&gt;Ann&lt;/b&gt;." in page.text
    assert "answers 5 more times" in page.text
    answered = browser.post(page_of(link), data=ROW)
    assert answered.status_code == 200
    assert re.search(r'<p class="prediction"[^>]*>3</p>', answered.text)
    assert "answers 4 more times" in answered.text


def test_no_page_and_no_address_holds_the_token(browser, make):
    link = make()
    visited = [enter(browser, link), browser.get(page_of(link)), browser.post(page_of(link), data=ROW)]

    for answer in [step for last in visited for step in (*last.history, last)]:
        assert link["token"] not in answer.text
        assert link["token"] not in str(answer.url)
        assert link["token"] not in str(answer.headers)
    assert {answer.headers["referrer-policy"] for answer in visited} == {"same-origin"}
    assert {answer.headers["cache-control"] for answer in visited} == {"private, no-store"}


def test_what_does_not_open_it_is_told(browser, make):
    link = make(password=PASSWORD)
    assert 'name="password"' in browser.get(page_of(link)).text

    wrong = enter(browser, link, password="wrong")
    tokenless = enter(browser, link, token="prl_nothing", password=PASSWORD)
    right = enter(browser, link, password=PASSWORD)

    assert "This does not open it." in wrong.text
    assert "This does not open it." in tokenless.text
    assert NAME not in wrong.text + tokenless.text
    assert NAME in right.text


def test_requests_to_paste_open_a_link_with_a_password_first(browser, make):
    with_one, without = make(password=PASSWORD), make()
    asked = enter(browser, with_one, password=PASSWORD).text
    plain = enter(browser, without).text

    assert f"{with_one['url'].partition('#')[0]}/open" in asked
    assert "$PRISM_LINK_PASSWORD" in asked
    assert "PRISM_LINK_PASSWORD" not in plain


def test_whatever_refused_a_visitor_it_is_no_html(browser, make):
    gate = browser.get(page_of(make()), params={"refused": "<script>alert(1)</script>"})

    assert "alert(1)" not in gate.text
    assert "It could not be opened." in gate.text


@pytest.mark.parametrize(
    ("wish", "status", "words"),
    [
        ({"uses": 1}, 410, "answered as often as it may"),
        ({"page": False}, 404, "It is for programs"),
        ({"revoke": True}, 404, "This link leads nowhere"),
    ],
)
def test_an_end_is_told_to_people(browser, owner, make, wish, status, words):
    revoked = wish.pop("revoke", False)
    link = make(**wish)
    enter(browser, link)
    if wish.get("uses"):
        browser.post(page_of(link), data=ROW)
    if revoked:
        owner.delete(f"/admin/v1/links/{link['slug']}")

    for answer in (browser.get(page_of(link)), browser.post(page_of(link), data=ROW)):
        assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
        assert words in answer.text
        assert NAME not in answer.text
    program = browser.get(page_of(link), headers={"Accept": "*/*"})
    assert program.headers["content-type"] == "application/problem+json"


def test_a_visit_that_is_over_begins_at_the_gate(browser, make):
    link = make()
    enter(browser, link)
    browser.cookies.clear()

    gate = browser.post(page_of(link), data=ROW)

    assert gate.status_code == 401
    assert 'name="token"' in gate.text
    assert NAME not in gate.text


def test_a_form_of_another_site_is_refused(browser, make):
    link = make()
    enter(browser, link)

    answer = browser.post(page_of(link), data=ROW, headers={"Origin": "https://evil.test"})

    assert answer.status_code == 403
    assert NAME not in answer.text


def test_programs_get_json_of_a_link(browser, make):
    link = make()

    told = browser.get(page_of(link), headers={"Accept": "*/*"} | bearer(link["token"]))
    untold = browser.get(page_of(link), headers={"Accept": "*/*"})

    assert told.json()["predict_url"] == link["predict_url"]
    assert (untold.status_code, NAME in untold.text) == (401, False)


def test_a_model_that_asks_for_a_key_has_a_gate(browser, owner):
    key = owner.post("/admin/v1/keys", json={"name": "ann"}).json()["key"]

    gate, other = browser.get(f"/model/{NAME}"), browser.get("/model/no-such-model")
    wrong = browser.get(f"/model/{NAME}", headers=bearer("nothing"))
    page = browser.get(f"/model/{NAME}", headers=bearer(key))

    assert gate.status_code == 401
    assert gate.text == other.text  # which of them there is, is not told
    assert 'data-open="key"' in gate.text
    assert "This key does not open it." in wrong.text
    assert (page.status_code, 'name="c0"' in page.text) == (200, True)
    assert "$PRISM_KEY" in page.text
    assert browser.get("/model/no-such-model", headers=bearer(key)).status_code == 404


def test_a_link_that_may_only_look_has_no_form(browser, make):
    page = enter(browser, make(verbs=["metadata"]))

    assert NAME in page.text
    assert "<form" not in page.text
