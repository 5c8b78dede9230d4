"""What was filled in becomes the row that was meant, whatever the columns are called."""

import json
import math
import string
import urllib.parse

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.errors import InvalidInput
from prism_core.inputs.json_in import normalize
from prism_core.rest.pages.filled import body_of, placed, read, samples, texts_of
from prism_core.rest.pages.posted import posted
from prism_core.rest.pages.widgets import form_of
from prism_core.specs import Request
from prism_core.types import NUMPY_TYPES, Signature, TensorSpec

OUT = (TensorSpec("predictions", "INT64", (-1,)),)
# Without what a browser changes (a lone line end becomes two characters) and what is no text.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=30)


def values_of(datatype):
    dtype = NUMPY_TYPES[datatype]
    if dtype.kind == "f":
        width = dtype.itemsize * 8
        return st.floats(allow_nan=False, allow_infinity=False, width=width)
    if dtype.kind in "iu":
        return st.integers(int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
    return st.booleans() if dtype.kind == "b" else TEXTS


@st.composite
def rows(draw):
    """A signature, and a row that fits it."""
    names = draw(st.lists(TEXTS, min_size=1, max_size=6, unique=True))
    specs, row = [], []
    for name in names:
        datatype = draw(st.sampled_from(sorted(NUMPY_TYPES)))
        nullable = draw(st.booleans())
        values = values_of(datatype)
        chosen = draw(st.lists(values, max_size=4, unique=True)) if datatype != "BOOL" else []
        spec = TensorSpec(name, datatype, (-1,), nullable, categories=tuple(chosen))
        value = draw(st.sampled_from(chosen) | values if chosen else values)
        if nullable and spec.dtype.kind in "fO" and (value == "" or draw(st.booleans())):
            value = None  # an empty field of such a column is a missing value
        specs.append(spec)
        row.append(value)
    return Signature(tuple(specs), OUT, columnar=True), tuple(row)


@given(rows())
def test_a_row_comes_back_as_it_was(example):
    signature, row = example
    form = form_of(signature)
    body = urllib.parse.urlencode(texts_of(form, row)).encode()

    filled = read(form, posted("application/x-www-form-urlencoded", body).texts)

    assert filled.errors == {}
    sent = json.dumps(body_of(form, filled.row)).encode()
    batch = normalize(memoryview(sent), signature, Request({}, {}))
    for spec, value in zip(signature.inputs, row, strict=True):
        (got,) = batch[spec.name].tolist()
        missing = value is None and (got is None or math.isnan(got))
        assert missing or got == value


@given(rows())
def test_an_example_fits(example):
    signature, _ = example
    form = form_of(signature)

    assert read(form, samples(form)).errors == {}


@given(
    rows(), st.dictionaries(st.sampled_from([f"c{i}{o}" for i in range(7) for o in ("", "-other")]), TEXTS)
)
def test_whatever_is_sent_is_read_or_told(example, texts):
    form = form_of(example[0])

    filled = read(form, texts)

    assert bool(filled.row) != bool(filled.errors)
    assert set(filled.errors) <= {field.key for field in form.fields}


@pytest.mark.parametrize(
    ("datatype", "text", "told"),
    [
        ("FP64", "", "A value is needed."),
        ("FP64", "three", "This is no number."),
        ("FP64", "1,5", "This is no number. Decimals are written with a point."),
        ("FP64", "nan", "This is no number."),
        ("FP64", "1e999", "No number is so large."),
        ("FP64", "1" * 500, "This is no number."),
        ("INT64", "1.5", "This is no whole number."),
        ("UINT8", "256", "It takes whole numbers from 0 to 255."),
        ("INT8", "-129", "It takes whole numbers from -128 to 127."),
        ("INT8", "٣", "This is no whole number."),
    ],
)
def test_a_wrong_value_is_told_at_its_field(datatype, text, told):
    form = form_of(Signature((TensorSpec("x", datatype, (-1,)),), OUT, columnar=True))

    assert read(form, {"c0": text}).errors == {"c0": told}


def test_nothing_but_a_category_is_chosen():
    spec = TensorSpec("plan", "BYTES", (-1,), categories=("basic",))
    form = form_of(Signature((spec,), OUT, columnar=True))

    assert read(form, {}).errors == {"c0": "Choose one."}
    assert read(form, {"c0": '"gold"'}).errors == {"c0": "Choose one of the list."}
    assert read(form, {"c0": "other", "c0-other": "gold"}).row == ("gold",)


def test_faults_of_the_model_stand_at_their_fields():
    form = form_of(Signature((TensorSpec("X", "FP64", (-1, 2)),), OUT))
    faults = [{"row": 0, "column": 1, "expected": "FP64", "got": "null"}, {"row": 0, "column": "nobody"}]
    error = InvalidInput("Row 0 is wrong.", details={"errors": [*faults, "odd"]})

    assert placed(form, error) == {"c1": "Expected FP64, got null."}


def test_digits_look_like_digits():
    """Only those that JSON knows are numbers."""
    form = form_of(Signature((TensorSpec("x", "FP64", (-1,)),), OUT, columnar=True))

    assert read(form, {"c0": "+.5e1"}).row == (5.0,)
    assert set("+.5e1") <= set(string.printable)
