"""The form of a signature."""

import pytest

from prism_core.rest.pages.widgets import MAX_FIELDS, form_of
from prism_core.types import NUMPY_TYPES, Signature, TensorSpec

OUT = (TensorSpec("predictions", "INT64", (-1,)),)


def signature(*inputs, **options):
    return Signature(inputs, OUT, **options)


@pytest.mark.parametrize(
    ("datatype", "kind"),
    [(d, {"BOOL": "switch", "BYTES": "text"}.get(d, "number")) for d in NUMPY_TYPES],
)
def test_every_datatype_has_its_widget(datatype, kind):
    (field,) = form_of(signature(TensorSpec("x", datatype, (-1,)), columnar=True)).fields

    assert field.kind == kind
    assert field.whole == (datatype.startswith(("INT", "UINT")))


def test_categories_are_a_choice_whatever_their_datatype():
    texts = TensorSpec("plan", "BYTES", (-1,), categories=("basic", "plus"))
    numbers = TensorSpec("rooms", "INT64", (-1,), categories=(1, 2, 3))

    fields = form_of(signature(texts, numbers, columnar=True)).fields

    assert [(f.kind, f.choices, f.sample) for f in fields] == [
        ("choice", ("basic", "plus"), "basic"),
        ("choice", (1, 2, 3), 1),
    ]


def test_what_is_missing_is_no_category():
    spec = TensorSpec("plan", "BYTES", (-1,), nullable=True, categories=(None, float("nan"), "basic"))

    (field,) = form_of(signature(spec, columnar=True)).fields

    assert (field.choices, field.optional) == (("basic",), True)


def test_too_many_categories_are_typed():
    spec = TensorSpec("city", "BYTES", (-1,), categories=tuple(f"town {i}" for i in range(1000)))

    (field,) = form_of(signature(spec, columnar=True)).fields

    assert field.kind == "text"


def test_no_integer_and_no_switch_may_be_empty():
    specs = [TensorSpec(d, d, (-1,), nullable=True) for d in ("INT8", "BOOL", "FP32", "BYTES")]

    fields = form_of(signature(*specs, columnar=True)).fields

    assert [f.optional for f in fields] == [False, False, True, True]


@pytest.mark.parametrize(
    ("given", "labels"),
    [
        (signature(TensorSpec("X", "FP64", (-1, 2), columns=("a", "b"))), ["a", "b"]),
        (signature(TensorSpec("X", "FP64", (-1, 2))), ["X[0]", "X[1]"]),
        (signature(TensorSpec("text", "BYTES", (-1,))), ["text"]),
        (
            signature(TensorSpec("a", "FP64", (-1, 1)), TensorSpec("b", "BYTES", (-1,)), columnar=True),
            ["a", "b"],
        ),
    ],
)
def test_a_row_is_filled_in_field_by_field(given, labels):
    form = form_of(given)

    assert (form.way, form.table) == ("fields", True)
    assert [field.label for field in form.fields] == labels


@pytest.mark.parametrize(
    "spec",
    [
        TensorSpec("x", "FP32", (-1, 3, 224, 224)),
        TensorSpec("x", "UINT8", (-1, -1, -1, 3)),
        TensorSpec("x", "FP32", (-1, 28, 28)),
        TensorSpec("x", "FP64", (-1, 64)),
        TensorSpec("x", "FP64", (-1, 3072)),
    ],
)
def test_a_picture_is_dropped(spec):
    assert form_of(signature(spec)).way == "picture"


@pytest.mark.parametrize(
    ("given", "table"),
    [
        (signature(TensorSpec("X", "FP64", (-1, MAX_FIELDS + 2))), True),
        (signature(TensorSpec("X", "FP64", (-1, -1))), False),
        (signature(TensorSpec("X", "FP64", (-1, 3, 7))), False),
        (signature(TensorSpec("X", "FP64", (-1, 2)), TensorSpec("y", "FP64", (-1,))), False),
        (signature(TensorSpec("X", "FP64", (4,)), batch_axis=False), False),
        (signature(TensorSpec("X", "FP64", ()), batch_axis=False), False),
    ],
)
def test_what_no_form_can_show_is_written_as_json(given, table):
    form = form_of(given)

    assert (form.way, form.table) == ("json", table)


@pytest.mark.parametrize("columns", [("a", "a"), ("b64",)])
def test_rows_are_lists_where_a_record_would_be_misread(columns):
    form = form_of(signature(TensorSpec("X", "FP64", (-1, len(columns)), columns=columns)))

    assert not form.named
