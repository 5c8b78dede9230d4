"""The page of a model as a browser without JavaScript sees it: a real server, real models."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import joblib
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from prism_core.testing.server import ServerProcess

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
HOSTILE = "<img src=x onerror=alert(1)>"


class Form(HTMLParser):
    """What the first form of a page would send, as it stands, and the texts of the page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.values: dict[str, str] = {}
        self.action = ""
        self.texts: list[str] = []
        self._inside = self._select = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "form" and not self.action:
            self.action = self._inside = found["action"]
        if not self._inside:
            return
        if tag == "input" and (found.get("type") != "checkbox" or "checked" in found):
            self.values[found["name"]] = found.get("value", "")
        elif tag == "select":
            self._select = found["name"]
        elif tag == "option" and ("selected" in found or self._select not in self.values):
            self.values[self._select] = found["value"]

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = ""

    def handle_data(self, data: str) -> None:
        self.texts.append(" ".join(data.split()))


@pytest.fixture(scope="module")
def server_of_pages(tmp_path_factory) -> Iterator[ServerProcess]:
    """A server with ``churn`` and ``digits``."""
    directory = tmp_path_factory.mktemp("pages")
    with ServerProcess(directory / "data") as server:
        for path in made(directory):
            server.upload(path, "--description", "# Who leaves?")
        yield server


@pytest.fixture(scope="module")
def browser(server_of_pages) -> Iterator[httpx.Client]:
    """A browser without JavaScript."""
    with httpx.Client(base_url=server_of_pages.url, headers=BROWSER, timeout=60) as client:
        yield client


def made(directory: Path) -> list[Path]:
    rows = pd.DataFrame({"tenure": [1, 2, 30, 40], "plan": ["basic", HOSTILE, "basic", HOSTILE]})
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["plan"]), remainder="passthrough"
    )
    churn = make_pipeline(columns, LogisticRegression()).fit(rows, ["goes", "goes", "stays", "stays"])
    pictures = np.vstack([np.zeros((5, 64)), np.full((5, 64), 255.0)])
    digits = LogisticRegression().fit(pictures, ["dark"] * 5 + ["light"] * 5)
    paths = [directory / "churn.pkl", directory / "digits.pkl"]
    for model, path in zip((churn, digits), paths, strict=True):
        joblib.dump(model, path)
    return paths


def send(browser: httpx.Client, form: Form, path: str, **values: str) -> httpx.Response:
    return browser.post(
        str(browser.build_request("GET", path).url.join(form.action)), data=form.values | values
    )


def test_programs_get_json_where_browsers_get_a_page(browser):
    page = browser.get("/model/churn")
    program = browser.get("/model/churn", headers={"Accept": "*/*"})

    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert program.json()["name"] == "churn"
    assert "Accept" in page.headers["vary"]
    assert "Accept" in program.headers["vary"]


@pytest.mark.parametrize("path", ["/model/churn", "/model/churn@latest", "/model/churn/versions/1"])
def test_the_form_answers_for_one_row(browser, path):
    form = Form(browser.get(f"{path}?example").text)

    page = send(browser, form, path, c0="40", c1="other", **{"c1-other": "unheard of"})

    assert page.status_code == 200
    texts = Form(page.text).texts
    assert texts[texts.index("Answer") :].count("stays") >= 2  # the prediction, and its bar
    assert re.search(r"[0-9.]+ %", page.text)
    assert "compute;dur=" in page.headers["server-timing"]


def test_the_page_answers_as_the_model_does(browser):
    row: dict[str, Any] = {"tenure": 17, "plan": "basic"}
    answer = browser.post("/model/churn/predict?outputs=predictions,probabilities", json={"input": [row]})

    page = send(
        browser, Form(browser.get("/model/churn?example").text), "/model/churn", c0="17", c1='"basic"'
    )

    likely = max(answer.json()["probabilities"][0])
    assert f"{likely * 100:.1f} %" in page.text
    assert answer.json()["predictions"][0] in Form(page.text).texts


def test_a_wrong_value_is_told_at_its_field_and_kept(browser):
    form = Form(browser.get("/model/churn?example").text)

    page = send(browser, form, "/model/churn", c0="soon")

    assert page.status_code == 422
    assert "This is no number." in Form(page.text).texts
    assert Form(page.text).values["c0"] == "soon"


def test_a_hostile_category_is_a_word_to_choose(browser):
    page = browser.get("/model/churn?example").text

    assert HOSTILE not in page
    told = send(browser, Form(page), "/model/churn", c0="1", c1=json.dumps(HOSTILE))
    assert told.status_code == 200
    assert HOSTILE not in told.text


def test_a_picture_is_answered(browser):
    file = io.BytesIO()
    Image.new("L", (20, 20), 250).save(file, "PNG")

    page = browser.post(
        "/model/digits", data={"way": "picture"}, files={"picture": ("a.png", file.getvalue(), "image/png")}
    )

    assert page.status_code == 200
    assert "light" in Form(page.text).texts


def test_no_picture_is_told(browser):
    page = browser.post("/model/digits", data={"way": "picture"}, files={"picture": ("", b"", "image/png")})

    assert page.status_code == 422
    assert "No picture was chosen." in Form(page.text).texts


def test_json_is_answered_and_told_where_it_is_none(browser):
    page = browser.get("/model/digits").text
    (example,) = re.findall(r"<textarea[^>]*>(.*?)</textarea>", page, re.S)
    written = example.strip().replace("&#34;", '"')

    good = browser.post("/model/digits", data={"way": "json", "json": written})
    bad = browser.post("/model/digits", data={"way": "json", "json": written[:-1]})

    assert "dark" in Form(good.text).texts
    assert bad.status_code == 400
    assert "The body is not JSON" in bad.text


def test_programs_that_post_to_the_page_are_told_where_to_predict(browser):
    answer = browser.post("/model/churn", json={"input": []}, headers={"Accept": "*/*"})

    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert "/model/churn/predict" in answer.json()["hint"]


def test_the_page_says_what_its_owner_says(browser):
    page = browser.get("/model/churn")

    assert "<h3>Who leaves?</h3>" in page.text
    assert browser.get("/model/churn", headers={"Accept": "*/*"}).json()["description"] == "# Who leaves?"


def test_another_description_is_another_version(server_of_pages, tmp_path):
    """And who says nothing of it gets the version that there is."""
    joblib.dump(LogisticRegression().fit(np.array([[0.0], [1.0]]), [0, 1]), tmp_path / "line.pkl")
    told = ["One."], ["One."], [], ["Two."]

    uploads = [
        server_of_pages.upload(tmp_path / "line.pkl", *(["--description", *words] if words else []))
        for words in told
    ]

    assert [upload["version"] for upload in uploads] == [1, 1, 1, 2]
    shown = [server_of_pages.json("show", f"line/{number}") for number in (1, 2)]
    assert [version["description"] for version in shown] == ["One.", "Two."]
