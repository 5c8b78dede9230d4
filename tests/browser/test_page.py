"""A model's page in a browser: what a visitor fills in, drops and copies is what the model answers."""

from __future__ import annotations

import csv
import io
import json
import subprocess

import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect
from sklearn.datasets import load_digits

pytestmark = pytest.mark.system

ROW = {"tenure": 3.0, "charge": 95.5, "plan": "basic", "contract": 12, "senior": True}
ROWS = "tenure,charge,plan,contract,senior\n3,95.5,basic,12,true\n60,,pro,24,false\n"


@pytest.fixture
def api(server):
    """Ask as a program does, for labels and probabilities."""

    def ask(model, **request):
        url = f"{server.url}/model/{model}/predict?outputs=predictions,probabilities"
        return httpx.post(url, timeout=30, **request).raise_for_status()

    return ask


def fill(page, row):
    """Fill in a row by the labels that people read."""
    for name, value in row.items():
        control = page.get_by_label(name, exact=True)
        if isinstance(value, bool):
            control.set_checked(value)
        elif control.evaluate("one => one.tagName") == "SELECT":
            control.select_option(label=str(value))
        else:
            control.fill(str(value))


def predict(page):
    page.get_by_role("button", name="Predict").first.click()


def bars(page):
    """Return the labels and the shares of the answer's bars, in their order."""
    rows = page.locator("#answer .bars tbody tr")
    rows.first.wait_for()
    return [(row.locator("th").inner_text(), row.locator(".share").inner_text()) for row in rows.all()]


def drop(page, place, name, kind, content):
    """Drop a file where the mouse would."""
    transfer = page.evaluate_handle(
        """([name, kind, bytes]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], name, { type: kind }));
            return transfer;
        }""",
        [name, kind, list(content)],
    )
    for event in ("dragover", "drop"):
        page.dispatch_event(place, event, {"dataTransfer": transfer})


# --- one row ----------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["churn", "iris", "mood"])
def test_the_example_is_filled_in_and_answered(visit, model):
    page = visit(f"/model/{model}")
    page.get_by_text("Fill with an example").click()
    predict(page)

    assert len(bars(page)) >= 2
    expect(page.locator("#answer .prediction")).to_have_text(bars(page)[0][0])
    expect(page.locator("#answer .time")).to_contain_text("there and back")


def test_every_widget_sends_what_it_shows(visit, api):
    page = visit("/model/churn")
    fill(page, ROW)
    predict(page)
    told = api("churn", json={"input": [ROW]}).json()

    shares = dict(zip(told["classes"], told["probabilities"][0], strict=True))
    assert dict(bars(page)) == {label: f"{share:.1%}".replace("%", " %") for label, share in shares.items()}
    expect(page.locator("#answer .prediction")).to_have_text(told["predictions"][0])


def test_numbers_tell_their_plausible_range_and_take_others(visit):
    page = visit("/model/churn")

    expect(page.locator("[data-field]", has=page.get_by_label("tenure", exact=True))).to_contain_text(
        "0 to 71"
    )
    fill(page, ROW | {"tenure": 500, "charge": ""})
    predict(page)
    assert len(bars(page)) == 2


def test_a_text_is_written(visit):
    page = visit("/model/mood")
    page.get_by_label("text", exact=True).fill("bad and\nslow")
    predict(page)

    expect(page.locator("#answer .prediction")).to_have_text("sad")


def test_another_category_goes_to_the_model_which_decides(visit, watch):
    page = visit("/model/churn")
    fill(page, ROW | {"plan": "another …"})
    page.get_by_label("plan: another value").fill("platinum")
    predict(page)

    expect(page.locator("#answer [role=alert]")).to_contain_text("platinum")
    assert watch.refused == [422]


# --- what is wrong ----------------------------------------------------------------------------


def test_what_is_missing_is_told_before_anything_is_sent(visit):
    page = visit("/model/churn")
    fill(page, ROW | {"tenure": ""})
    predict(page)

    expect(page.get_by_label("tenure", exact=True)).to_be_focused()
    assert page.locator("#answer .prediction").count() == 0


def test_a_wrong_value_is_told_at_its_field_until_it_is_mended(visit, watch):
    page = visit("/model/churn")
    fill(page, ROW | {"tenure": ""})
    page.locator("form").first.evaluate("form => { form.noValidate = true; }")
    predict(page)

    tenure = page.get_by_label("tenure", exact=True)
    expect(tenure).to_have_attribute("aria-invalid", "true")
    expect(tenure).to_be_focused()
    expect(tenure).to_have_accessible_description("usually 0 to 71 A value is needed.")
    expect(page.locator("#answer [role=alert]")).to_be_visible()
    assert watch.refused == [422]

    tenure.fill("3")
    predict(page)
    bars(page)
    expect(tenure).not_to_have_attribute("aria-invalid", "true")
    assert page.locator(".field .error").count() == 0


def test_a_server_that_is_gone_is_told(visit, watch):
    page = visit("/model/churn")
    fill(page, ROW)
    page.context.set_offline(True)
    predict(page)

    expect(page.locator("#answer .problem")).to_contain_text("cannot be reached")
    assert watch.faults.pop() == "console: Failed to load resource: net::ERR_INTERNET_DISCONNECTED"


# --- many rows --------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["chosen", "dropped"])
def test_a_table_is_answered_and_downloaded(visit, api, way):
    page = visit("/model/churn")
    if way == "chosen":
        page.locator("#csv").set_input_files(
            {"name": "who.csv", "mimeType": "text/csv", "buffer": ROWS.encode()}
        )
    else:
        drop(page, "[data-rows] [data-drop]", "who.csv", "text/csv", ROWS.encode())
    with page.expect_download() as download:
        page.get_by_text("Download the table").click()
    told = api("churn", content=ROWS, headers={"Content-Type": "text/csv", "Accept": "text/csv"}).text

    wanted = [",".join(pair) for pair in zip(ROWS.split(), told.split(), strict=True)]
    assert download.value.suggested_filename == "who-answers.csv"
    assert download.value.path().read_text().split() == wanted
    assert page.locator("#answer tbody tr").count() == 2
    given, answers = ROWS.split()[0].split(","), told.split()[0].split(",")
    assert page.locator("#answer thead th").all_inner_texts() == [*answers, *given]
    shown = page.locator("#answer tbody tr").first.locator("td").all_inner_texts()
    exact = [float(value) for value in told.split()[1].split(",")[1:]]
    assert shown[0] == "leaves"
    assert [float(value) for value in shown[1:3]] == pytest.approx(exact, rel=1e-3)
    assert max(map(len, shown)) < 8


def test_a_long_table_is_asked_in_pieces_and_stays_in_order(visit):
    rows = ["tenure,charge,plan,contract,senior"]
    rows += [f"{n % 72},{20 + n % 90},{['basic', 'plus', 'pro'][n % 3]},12,true" for n in range(2500)]
    page = visit("/model/churn")
    page.locator("#csv").set_input_files(
        {"name": "many.csv", "mimeType": "text/csv", "buffer": "\r\n".join(rows).encode()}
    )
    with page.expect_download() as download:
        page.get_by_text("Download the table").click()
    table = list(csv.reader(io.StringIO(download.value.path().read_text())))

    assert [",".join(row[:5]) for row in table] == rows
    assert {row[5] for row in table[1:]} == {"leaves", "stays"}
    expect(page.locator("#answer")).to_contain_text("2,500 rows are answered")


def test_a_fault_in_a_table_is_told_with_its_row_and_column(visit, watch):
    wrong = ROWS + "many,3,pro,12,true\n"
    page = visit("/model/churn")
    page.locator("#csv").set_input_files(
        {"name": "who.csv", "mimeType": "text/csv", "buffer": wrong.encode()}
    )

    expect(page.locator("#answer .faults")).to_contain_text("row 3, tenure", ignore_case=True)
    assert watch.refused == [422]


# --- pictures ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def seven():
    """Return the picture of a seven, as large as the model wants it."""
    digits = load_digits()
    values = digits.images[list(digits.target[:600]).index(7)]
    file = io.BytesIO()
    Image.fromarray((values * 255 / 16).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("way", ["chosen", "dropped"])
def test_a_picture_is_shown_and_answered(visit, api, seven, way):
    page = visit("/model/digits")
    if way == "chosen":
        page.locator("#picture").set_input_files({"name": "7.png", "mimeType": "image/png", "buffer": seven})
    else:
        drop(page, "form [data-drop]", "7.png", "image/png", seven)
    preview = page.locator("img.preview")
    expect(preview).to_be_visible()
    page.wait_for_function("document.querySelector('img.preview').naturalWidth === 8")
    predict(page)
    told = api("digits", content=seven, headers={"Content-Type": "image/png"}).json()

    bars(page)
    expect(page.locator("#answer .prediction")).to_have_text(str(told["predictions"][0]))


# --- programs ---------------------------------------------------------------------------------


def copied(page, language):
    """Return what the button beside an example copies."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator("#requests summary", has_text=language).click()
    block = page.locator("#requests details", has_text=language)
    block.get_by_role("button", name="Copy").click()
    expect(block.get_by_role("button")).to_have_text("Copied")
    return page.evaluate("navigator.clipboard.readText()")


def test_the_copied_curl_line_answers(visit):
    page = visit("/model/churn")
    done = subprocess.run(
        ["sh", "-c", copied(page, "curl") + " --silent --fail"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )

    assert json.loads(done.stdout)["predictions"][0] in ("leaves", "stays")


# --- without a script -------------------------------------------------------------------------


def test_without_javascript_a_row_is_answered(visit, api):
    page = visit("/model/churn", script=False)
    fill(page, ROW)
    predict(page)

    told = api("churn", json={"input": [ROW]}).json()
    expect(page.locator("#answer .prediction")).to_have_text(told["predictions"][0])
    expect(page.get_by_label("charge", exact=True)).to_have_value("95.5")
    expect(page.locator("[data-rows]")).to_be_hidden()


def test_without_javascript_the_example_is_a_link(visit):
    page = visit("/model/churn", script=False)
    page.get_by_text("Fill with an example").click()
    predict(page)

    assert len(bars(page)) == 2


def test_without_javascript_a_wrong_value_is_told_at_its_field(visit, watch):
    page = visit("/model/churn", script=False)
    fill(page, ROW | {"plan": "another …"})
    predict(page)

    expect(page.locator("#answer [role=alert]")).to_be_visible()
    expect(page.get_by_label("tenure", exact=True)).to_have_value("3.0")
    assert watch.refused == [422]


# --- strangers' words -------------------------------------------------------------------------


@pytest.mark.parametrize("script", [True, False])
def test_names_and_values_that_are_markup_are_words(visit, script):
    """`visit` looks for what they would have done."""
    page = visit("/model/hostile", script=script)
    page.get_by_text("Fill with an example").click()
    predict(page)

    labels = [label for label, _ in bars(page)]
    assert sorted(labels) == ["<script>window.hacked=6</script>", "<svg onload=window.hacked=5>"]
    assert page.locator(".fields label").count() == 4
    assert page.locator("svg[onload], img[src=x], b[onmouseover]").count() == 0
    expect(page.locator("body")).to_contain_text("{{ 7 * 7 }}")
