"""A page is HTML that can do nothing but what its own style and script do."""

import base64
import hashlib
import html
import re
import zipfile
from html.parser import HTMLParser

import attrs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.errors import InvalidInput
from prism_core.gateway.prediction import Prediction
from prism_core.gateway.views import VersionInfo
from prism_core.rest.pages import filters, rendering
from prism_core.rest.pages.answers import answer_of
from prism_core.rest.pages.place import Place
from prism_core.rest.pages.trying import Trial
from prism_core.types import Signature, TensorSpec

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' autofocus onfocus=alert(1) x='",
    "</textarea><script>",
    "</option></select><b>",
    "{{ 7 * 7 }}",
    "{% include 'x' %}",
    "javascript:alert(1)",
    "</style><script>",
    "&lt;b&gt;",
    "\u202eevil\x00",
]
rendering.warm()  # the first page reads the templates
PLACE = Place("churn", "http://prism.test/model/churn/predict", 1000)


@pytest.mark.parametrize("text", [*HOSTILE, "monthly_charges", "_<_>_", ""])
def test_a_long_name_may_be_broken_at_its_underscores(text):
    told = filters.name(text)

    assert html.unescape(told.replace("_<wbr>", "_")) == html.unescape(html.escape(text))
    assert "<" not in told.replace("<wbr>", "")


class Parsed(HTMLParser):
    """The elements of a page, with their attributes, and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)

    def of(self, tag):
        return [found for name, found in self.tags if name == tag]


def version(signature, **changes):
    told = msgspec.to_builtins(signature) if signature else None
    info = VersionInfo(
        "churn", 3, "READY", "sha256:00", 1, "secret-loader", "secret-artifact", 1.0, {"secret": 1},
        "process", [], told, ["secret-warning"], "secret-error", "http://x", [{"pid": 4242}],
    )  # fmt: skip
    return attrs.evolve(info, **changes)


def columnar(*specs, **options):
    return Signature(specs, (TensorSpec("predictions", "INT64", (-1,)),), columnar=True, **options)


def shape_of(text):
    """Which elements there are, with which attributes; whatever the names of columns are."""
    return [(tag, sorted(found)) for tag, found in Parsed(text).tags]


def test_the_policy_lets_in_the_style_and_the_script_of_the_page_alone():
    page = rendering.model(version(columnar(TensorSpec("a", "FP64", (-1,)))), PLACE).decode()
    policy = dict(rendering.headers())[b"content-security-policy"].decode()

    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        (inside,) = re.findall(rf"<{tag}[^>]*>(.*?)</{tag}>", page, re.S)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_nothing_comes_from_elsewhere_and_nothing_is_styled_in_place():
    page = Parsed(rendering.model(version(columnar(TensorSpec("a", "FP64", (-1,)))), PLACE).decode())

    for _, found in page.tags:
        assert not found.get("src", "").strip()
        assert not found.get("href", "").startswith(("http", "//"))
        assert "style" not in found
        assert not [name for name in found if name.startswith("on")]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_are_texts(text):
    """The same elements as with a harmless name, and the name where people read it."""

    def page(name):
        specs = (
            TensorSpec(name, "FP64", (-1,), nullable=True),
            TensorSpec(f"{name} 2", "BYTES", (-1,), categories=(name, "b")),
            TensorSpec(f"{name} 3", "BYTES", (-1,)),
            TensorSpec(f"{name} 4", "BOOL", (-1,)),
        )
        signature = columnar(*specs, classes=(name, "b"))
        document = {
            "predictions": [name],
            "classes": [name, "b"],
            "probabilities": [[0.25, 0.75]],
            name: [name],
        }
        trial = Trial(
            {"c0": name, "c2": name, "c1": "other", "c1-other": name},
            {"c0": name},
            answer=answer_of(document, signature),
            prediction=Prediction(b"", "", "churn", 3, 1),
        )
        place = attrs.evolve(PLACE, note=name)
        return rendering.tried(version(signature), place, trial).decode()

    hostile, harmless = page(text), page("harmless")

    assert shape_of(hostile) == shape_of(harmless)
    shown = "".join(Parsed(hostile).texts)
    assert text.replace("\x00", "") in shown.replace("\x00", "")


@given(st.text(max_size=40), st.text(max_size=40))
def test_errors_are_texts(message, hint):
    signature = columnar(TensorSpec("a", "FP64", (-1,)))

    def page(message, hint):
        trial = Trial({}, {}, error=InvalidInput(f"m{message}", hint=f"h{hint}"))
        return rendering.tried(version(signature), PLACE, trial, part=True).decode()

    assert shape_of(page(message, hint)) == shape_of(page("m", "h"))


def test_nothing_private_is_on_a_page():
    page = rendering.model(version(columnar(TensorSpec("a", "FP64", (-1,)))), PLACE).decode()

    assert "secret" not in page
    assert "4242" not in page


def test_a_model_that_was_never_loaded_has_a_page_without_a_form():
    page = Parsed(rendering.model(version(None, state="STARTING"), PLACE).decode())

    assert not page.of("form")
    assert "starting" in page.texts


def test_every_control_has_a_label():
    signature = columnar(
        TensorSpec("a", "FP64", (-1,)),
        TensorSpec("b", "BYTES", (-1,), categories=("x",)),
        TensorSpec("c", "BYTES", (-1,)),
        TensorSpec("d", "BOOL", (-1,)),
    )
    page = Parsed(rendering.model(version(signature), PLACE).decode())

    labelled = {found["for"] for found in page.of("label") if "for" in found}
    controls = [
        f for tag in ("input", "select", "textarea") for f in page.of(tag) if f.get("type") != "hidden"
    ]
    assert len(controls) >= 5
    unlabelled = [f for f in controls if f["id"] not in labelled and "aria-label" not in f]
    assert [f["type"] for f in unlabelled] == ["checkbox"]  # which stands within its label


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (TensorSpec("a", "UINT8", (-1,)), {"type": "number", "step": "1", "min": "0", "max": "255"}),
        (TensorSpec("a", "INT64", (-1,)), {"type": "number", "step": "1"}),
        (TensorSpec("a", "FP32", (-1,)), {"type": "number", "step": "any"}),
        (TensorSpec("a", "BOOL", (-1,)), {"type": "checkbox", "value": "yes"}),
    ],
)
def test_a_control_is_that_of_its_datatype(spec, expected):
    page = Parsed(rendering.model(version(columnar(spec)), PLACE).decode())

    (control,) = [found for found in page.of("input") if found.get("id") == "c0"]
    assert expected.items() <= control.items()


def test_what_was_sent_stands_in_the_form_again():
    specs = TensorSpec("a", "FP64", (-1,)), TensorSpec("b", "BYTES", (-1,), categories=("x", "y"))
    trial = Trial({"c0": "three", "c1": '"y"'}, {"c0": "This is no number."}, error=InvalidInput("No."))

    page = Parsed(rendering.tried(version(columnar(*specs)), PLACE, trial).decode())

    (number,) = [found for found in page.of("input") if found.get("id") == "c0"]
    assert (number["value"], number["aria-invalid"], number["aria-describedby"]) == (
        "three",
        "true",
        "c0-error",
    )
    assert [f["value"] for f in page.of("option") if "selected" in f] == ['"y"']


def test_the_wheel_has_what_pages_are_made_of(tmp_path):
    from hatchling.builders.wheel import WheelBuilder

    root = rendering.__file__.rpartition("/prism_core/")[0]
    (wheel,) = WheelBuilder(root).build(directory=str(tmp_path), versions=["standard"])

    names = zipfile.ZipFile(wheel).namelist()
    inside = [name for name in names if name.startswith("prism_core/rest/pages/")]
    assert {"page.css", "page.js", "templates/model.html"} <= {n.split("/pages/")[1] for n in inside}


def test_a_part_has_the_answer_and_the_fields_that_are_wrong():
    specs = TensorSpec("a", "FP64", (-1,)), TensorSpec("b", "FP64", (-1,))
    trial = Trial({"c0": "x", "c1": "1"}, {"c0": "This is no number."}, error=InvalidInput("No."))

    part = rendering.tried(version(columnar(*specs)), PLACE, trial, part=True).decode()

    page = Parsed(part)
    assert [found["id"] for found in page.of("input")] == ["c0"]
    assert {"answer", "requests"} <= {found.get("id") for found in page.of("div")}
    assert not page.of("script")


def test_a_part_of_a_model_that_was_never_loaded_says_so():
    trial = Trial(error=InvalidInput("The model has not been loaded yet."))

    assert b"not been loaded yet" in rendering.tried(version(None), PLACE, trial, part=True)
