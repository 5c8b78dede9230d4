from pathlib import Path
from typing import Annotated, Literal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from prism_core.converters import Bytes, structure, structure_extension_config
from prism_core.errors import ConfigError


@attrs.frozen
class Box:
    wide: bool = False
    label: str = ""


@attrs.frozen
class Shelf:
    size: Bytes = 0
    count: Annotated[int, Meta(ge=1, le=9)] = 1
    weight: float = 0.0
    path: Path | None = None
    colour: Literal["red", "blue"] = "red"
    names: tuple[str, ...] = ()
    boxes: dict[str, Box] = attrs.field(factory=dict)
    required: int = attrs.field(kw_only=True)


def errors_of(data, cls=Shelf, path=""):
    with pytest.raises(ConfigError) as caught:
        structure(data, cls, path)
    return {error["path"]: error["message"] for error in caught.value.details["errors"]}


def test_plain_values_become_what_the_class_says():
    shelf = structure(
        {
            "required": 3,
            "size": "2KB",
            "weight": 2,
            "path": "a/b",
            "names": ["x"],
            "boxes": {"b": {"wide": True}},
        },
        Shelf,
    )

    assert shelf == Shelf(
        required=3, size=2048, weight=2.0, path=Path("a/b"), names=("x",), boxes={"b": Box(True)}
    )
    assert isinstance(shelf.weight, float)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("size", "2XB", "expected a size such as 256MB or 6GB, got '2XB'."),
        ("size", True, "expected int, got bool True."),
        ("count", 0, "must be at least 1, got 0."),
        ("count", 10, "must be at most 9, got 10."),
        ("count", 1.0, "expected int, got float 1.0."),
        ("count", None, "expected int, got nothing."),
        ("weight", "1e3", "expected float, got str '1e3'."),
        ("path", 7, "expected a path, got int 7."),
        ("colour", "green", "expected one of red, blue, got str 'green'."),
        ("names", "abc", "expected a list, got str 'abc'."),
        ("boxes", ["b"], "expected a mapping of keys, got list ['b']."),
        ("boxes", {1: {}}, "keys are text, got int 1; put it in quotes."),
    ],
)
def test_nothing_is_coerced(key, value, message):
    assert errors_of({"required": 1, key: value}) == {key: message}


def test_every_error_is_told_at_once_with_its_path():
    errors = errors_of(
        {"boxes": {"b": {"wide": "false"}, "c": {"lable": "x"}, "d": 5}, "names": ["x", 2]}, path="shelf"
    )

    assert errors == {
        "shelf.boxes.b.wide": "expected bool, got str 'false'.",
        "shelf.boxes.c.lable": "there is no such key.",
        "shelf.boxes.d": "expected a mapping of keys, got int 5.",
        "shelf.names[1]": "expected str, got int 2.",
        "shelf.required": "this key is required.",
    }


def test_the_message_tells_the_first_error_and_how_many_there_are():
    with pytest.raises(ConfigError, match=r"^count: must be at least 1, got 0\. And 2 more\.$"):
        structure({"count": 0, "weight": "x"}, Shelf)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("lable", "Did you mean 'label'?"),
        ("zzz", "Known keys here: wide, label."),
    ],
)
def test_an_unknown_key_gets_a_suggestion(name, hint):
    with pytest.raises(ConfigError) as caught:
        structure_extension_config(Box, {name: 1}, "podman")

    assert caught.value.message == f"plugins.podman.{name}: there is no such key."
    assert caught.value.hint == hint


def test_a_fault_of_the_class_itself_is_told_at_its_key():
    @attrs.frozen
    class Fussy:
        name: str = attrs.field(validator=attrs.validators.max_len(2))

    with pytest.raises(ConfigError, match="name"):
        structure({"name": "long"}, Fussy)


values = st.recursive(
    st.sampled_from([None, True, 0, 5, -1, 2.5, "", "1MB", "red", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["wide", "label", 1]), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["size", "count", "path", "names", "boxes", "required", "x"]), values))
def test_any_data_is_structured_or_refused_with_paths(data):
    try:
        structure(data, Shelf)
        errors = []
    except ConfigError as error:
        errors = error.details["errors"]

    assert all(told["path"] and told["message"] for told in errors)
