"""A real browser before a real server, which is watched: nothing may go wrong that no test asked for."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs
import httpx
import joblib
import numpy as np
import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_digits, load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler

from prism_core.testing.server import ServerProcess

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# Long for a machine that does much else; nothing waits for it to pass.
PATIENCE_MS = 15_000
expect.set_options(timeout=PATIENCE_MS)
DESKTOP, PHONE = {"width": 1100, "height": 800}, {"width": 360, "height": 740}
# What a page's own policy refused is told by an event; without it, only by the console.
TELL_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy: ${event.violatedDirective} refused ${event.blockedURI}`));
"""


# --- models -----------------------------------------------------------------------------------

HOSTILE_COLUMNS = [
    "<img src=x onerror=\"window.hacked='column'\">",
    "\"><script>window.hacked='quote'</script>",
    "{{ 7 * 7 }}' onfocus='window.hacked=1' autofocus x='",
    "</textarea></select></option><svg onload=window.hacked=2>",
]
HOSTILE_VALUES = [
    "<b onmouseover=window.hacked=3>x</b>",
    "</option><script>window.hacked=4</script>",
    "javascript:1",
]


def churn() -> Any:
    """Return a classifier over every kind of column: numbers, gaps, texts, integers, truth values."""
    generator = np.random.default_rng(4)
    table = pd.DataFrame(
        {
            "tenure": generator.integers(0, 72, 300).astype(float),
            "charge": generator.uniform(18, 119, 300).round(2),
            "plan": generator.choice(["basic", "plus", "pro"], 300),
            "contract": generator.choice([1, 12, 24], 300),
            "senior": generator.choice([True, False], 300),
        }
    )
    table.loc[7, "charge"] = np.nan
    leaves = (table["tenure"] < 20) & (table["plan"] != "pro")
    columns = make_column_transformer(
        (MinMaxScaler(), ["tenure"]),
        (make_pipeline(SimpleImputer(), MinMaxScaler()), ["charge"]),
        (OneHotEncoder(), ["plan", "contract", "senior"]),
    )
    return make_pipeline(columns, LogisticRegression()).fit(table, np.where(leaves, "leaves", "stays"))


def hostile() -> Any:
    """Return a classifier whose columns, categories and classes try to be markup."""
    generator = np.random.default_rng(5)
    first, second, *choices = HOSTILE_COLUMNS
    table = pd.DataFrame({first: generator.normal(size=90), second: generator.normal(size=90)})
    for name in choices:
        table[name] = generator.choice(HOSTILE_VALUES, 90)
    columns = make_column_transformer(
        (StandardScaler(), [first, second]), (OneHotEncoder(handle_unknown="ignore"), choices)
    )
    labels = np.where(table[first] > 0, "<svg onload=window.hacked=5>", "<script>window.hacked=6</script>")
    return make_pipeline(columns, LogisticRegression()).fit(table, labels)


def iris() -> Any:
    """Return a classifier of rows without names."""
    data = load_iris()
    return RandomForestClassifier(20, random_state=0).fit(data.data, data.target_names[data.target])


def digits() -> Any:
    """Return a classifier of small pictures."""
    data = load_digits()
    return KNeighborsClassifier(3).fit(data.data[:600], data.target[:600])


def mood() -> Any:
    """Return a classifier of texts."""
    texts = ["good and cheap", "good value", "bad and slow", "bad, and dear"] * 5
    return make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(
        texts, ["glad", "glad", "sad", "sad"] * 5
    )


def line() -> Any:
    """Return a model with more columns than a form has fields."""
    return LinearRegression().fit(np.arange(300.0).reshape(2, 150), [1.0, 2.0])


MODELS = {"churn": churn, "digits": digits, "hostile": hostile, "iris": iris, "line": line, "mood": mood}


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Train a model and return its file."""
    directory = tmp_path_factory.mktemp("models")

    def trained(name: str) -> Path:
        joblib.dump(MODELS[name](), directory / f"{name}.joblib")
        return directory / f"{name}.joblib"

    return trained


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, artifact: Callable[[str], Path]
) -> Iterator[ServerProcess]:
    """Return a server that serves them all."""
    lines = "".join(f"  {name}: {{path: {artifact(name)}}}\n" for name in MODELS)
    with ServerProcess(tmp_path_factory.mktemp("server") / "data", config=f"models:\n{lines}") as server:
        await_ready(server)
        yield server


def await_ready(server: ServerProcess) -> None:
    """Wait until every model is up: before that a page has no form."""
    while httpx.get(f"{server.url}/health/ready").status_code != 200:
        time.sleep(0.05)


# --- the browser ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Return a browser. It is closed before tests of other modules run, which may want an event loop."""
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine; apt-get install chromium")
    arguments = [
        "--no-sandbox",
        "--disable-dev-shm-usage",
    ]  # root has no sandbox, a container little shared memory
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@attrs.define(eq=False, slots=False)  # playwright keeps its own among its attributes
class Watch:
    """What went wrong in a page that no test asked for.

    ``refused`` are statuses of the server's refusals: a browser's console calls them errors, too.
    """

    origins: set[str]
    faults: list[str] = attrs.field(factory=list)
    refused: list[int] = attrs.field(factory=list)

    def over(self, page: Page) -> None:
        """Watch ``page`` from now on."""
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.faults.append(f"script: {error}"))
        page.on("request", self._requested)

    def _said(self, message: ConsoleMessage) -> None:
        status = message.text.removeprefix("Failed to load resource: the server responded with a status of ")[
            :3
        ]
        if message.type == "error" and status.isdecimal():
            self.refused.append(int(status))
        elif message.type in ("error", "warning"):
            self.faults.append(f"console: {message.text}")

    def _requested(self, request: Request) -> None:
        address = urlsplit(request.url)
        if (
            address.scheme not in ("data", "blob")
            and f"{address.scheme}://{address.netloc}" not in self.origins
        ):
            self.faults.append(f"request: {request.url}")


Visit = Callable[..., Page]


@pytest.fixture
def watch(server: ServerProcess) -> Iterator[Watch]:
    """Watch all pages of a test; afterwards nothing may have gone wrong."""
    watch = Watch({server.url})
    yield watch
    assert watch.faults == []


@pytest.fixture
def visit(browser: Browser, server: ServerProcess, watch: Watch) -> Iterator[Visit]:
    """Open pages: ``visit("/model/churn", phone=True)``."""
    contexts = []

    def go(path: str, *, phone: bool = False, dark: bool = False, script: bool = True, url: str = "") -> Page:
        context = browser.new_context(
            viewport=PHONE if phone else DESKTOP,
            has_touch=phone,
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
            java_script_enabled=script,
        )
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        context.add_init_script(TELL_VIOLATIONS)
        page = context.new_page()
        watch.over(page)
        page.goto((url or server.url) + path)
        return page

    yield go
    for context in contexts:
        assert all(page.evaluate("window.hacked") is None for page in context.pages)
        context.close()


# --- what it looks like ---------------------------------------------------------------------

Judge = Callable[[Page], list[Any]]


@pytest.fixture
def axe() -> Judge:
    """Return a function that lists what axe-core finds serious or critical."""
    axe = Axe()

    def judge(page: Page) -> list[Any]:
        found = axe.run(page, options={"resultTypes": ["violations"]}).response["violations"]
        return [
            (one["id"], one["impact"], [node["target"] for node in one["nodes"]])
            for one in found
            if one["impact"] in ("serious", "critical")
        ]

    return judge


@pytest.fixture
def picture() -> Callable[[Page, str], None]:
    """Return a function that writes a whole page as a picture, where somebody wants to look at them."""
    directory = os.environ.get("PRISM_PICTURES")

    def write(page: Page, name: str) -> None:
        if directory:
            page.screenshot(path=Path(directory, f"{name}.png"), full_page=True)

    return write
