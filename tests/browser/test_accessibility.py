"""Pages for everybody: axe-core finds no serious fault, the keyboard is enough, changes are announced.

With ``PRISM_PICTURES=DIR`` each state is also written as a picture, to be looked at.
"""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.system

CSV = b"tenure,charge,plan,contract,senior\n3,95.5,basic,12,true\n60,,pro,24,false\n"
WRONG_CSV = CSV + b"many,3,pro,12,true\n"


def example(page):
    page.get_by_text("Fill with an example").click()


def answered(page):
    example(page)
    page.get_by_role("button", name="Predict").first.click()
    page.locator("#answer .prediction").wait_for()


def refused(page):
    example(page)
    page.locator("form").first.evaluate("form => { form.noValidate = true; }")
    page.get_by_label("tenure", exact=True).fill("")
    page.get_by_role("button", name="Predict").first.click()
    page.locator("#answer [role=alert]").wait_for()


def told(page):
    answered(page)
    page.locator("#requests summary").first.click()


def table(page):
    page.locator("#csv").set_input_files({"name": "who.csv", "mimeType": "text/csv", "buffer": CSV})
    page.locator("#answer table").wait_for()


def faulty_table(page):
    page.locator("#csv").set_input_files({"name": "who.csv", "mimeType": "text/csv", "buffer": WRONG_CSV})
    page.locator("#answer .faults").wait_for()


def untouched(page):
    page.locator("h1").wait_for()


STATES = {
    "light": [
        ("churn", untouched), ("churn", answered), ("churn", refused), ("churn", told), ("churn", table),
        ("churn", faulty_table), ("digits", untouched), ("iris", answered), ("line", untouched),
        ("mood", answered), ("hostile", answered),
    ],
    "dark": [("churn", told), ("churn", refused), ("churn", faulty_table), ("digits", untouched)],
    "phone": [("churn", answered), ("churn", table), ("hostile", answered)],
}  # fmt: skip


@pytest.mark.parametrize("look", STATES)
def test_every_state_can_be_read_by_everybody(visit, server, axe, picture, look):
    found = []
    page = visit("/model/churn", dark=look == "dark", phone=look == "phone")
    for model, reach in STATES[look]:
        page.goto(f"{server.url}/model/{model}")
        reach(page)
        picture(page, f"{look}-{model}-{reach.__name__}")
        found += axe(page)

    assert found == []


@pytest.mark.parametrize("model", ["churn", "digits", "line", "hostile"])
def test_a_phone_needs_no_scrolling_sideways(visit, model):
    page = visit(f"/model/{model}", phone=True)

    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    small = page.eval_on_selector_all(
        "button, input:not([type=checkbox]):not([type=hidden]), select, textarea, summary",
        "all => all.filter(one => one.offsetParent && one.offsetHeight < 36).map(one => one.outerHTML)",
    )
    assert small == []


def test_the_keyboard_is_enough(visit):
    """Tab comes to everything in the order in which it is read, shows where it is, and Enter asks."""
    page = visit("/model/churn")
    come = []
    for _ in range(9):
        page.keyboard.press("Tab")
        focused = page.locator(":focus")
        come.append(focused.get_attribute("id") or focused.inner_text())
        style, width = focused.evaluate(
            "one => [getComputedStyle(one).outlineStyle, getComputedStyle(one).outlineWidth]"
        )
        assert style != "none", come[-1]
        assert float(width.removesuffix("px")) >= 2, come[-1]

    fields = [f"c{place}" for place in range(5)]
    assert come == ["Skip to the form", *fields, "Predict", "Fill with an example", "csv"]

    page.locator("text=Fill with an example").focus()
    page.keyboard.press("Enter")
    page.get_by_label("tenure", exact=True).focus()
    page.keyboard.press("Enter")
    expect(page.locator("#answer .prediction")).to_be_visible()


def test_the_first_stop_skips_to_the_form(visit):
    page = visit("/model/churn")
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the form")).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")

    expect(page.get_by_label("tenure", exact=True)).to_be_focused()


def test_answers_are_announced(visit):
    """What changes is inside of a live region that was there before."""
    page = visit("/model/churn")
    region = page.locator("#answer")
    expect(region).to_have_attribute("aria-live", "polite")
    before = region.element_handle()
    answered(page)

    assert before.evaluate("one => one.isConnected && one.querySelector('.prediction') !== null")


def test_the_page_has_one_heading_landmarks_and_a_language(visit):
    page = visit("/model/churn")

    assert page.locator("h1").all_inner_texts() == ["churn"]
    assert page.get_by_role("main").count() == 1
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.title() == "churn"
