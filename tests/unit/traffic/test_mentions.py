"""Which facts a rule names."""

from __future__ import annotations

import pytest

from prism_core.traffic.mentions import last_texts, mentions

NAMES = ("header", "cookie", "features", "country", "key")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('header["x-country"] == "DE"', {"header": {"x-country"}}),
        ("header['x'] == header[ 'y' ]", {"header": {"x", "y"}}),
        ("features.age > 60 && features.n.size() > 1", {"features": {"age", "n"}}),
        ("has(features.age)", {"features": {"age"}}),
        ('"beta" in cookie', {"cookie": {"beta"}}),
        ('!("x" in header) && key != ""', {"header": {"x"}, "key": None}),
        ('"a" in features["tags"]', {"features": {"tags"}}),
        # Where a key is not plain it may be any.
        ('header["x-" + key] == ""', {"header": None, "key": None}),
        ('"x-" + "y" in header', {"header": None}),
        ('header["a"] == "" || header[key] == ""', {"header": None, "key": None}),
        ("header.exists(h, h == '')", {"header": None}),
        (r'header["x\u002dy"] == ""', {"header": None}),
        ('header["""x"""] == ""', {"header": None}),
        ('header[r"x"] == ""', {"header": None}),
        ("features == {}", {"features": None}),
        ("key in header", {"header": None, "key": None}),
        ("in header", {"header": None}),
        # What is in a text, in a comment or after a dot is no name.
        ('header["country"] == "key"', {"header": {"country"}}),
        ("features.country == 'x' // key", {"features": {"country"}}),
        ("features . key == '' ", {"features": {"key"}}),
        ('"""country " key""" == r"\\key"', {}),
        ("my_key == keys", {}),
        ("", {}),
        ('"', {}),
    ],
)
def test_the_names_of_a_rule_with_the_keys_that_it_asks_for(text, found):
    expected = {name: None if keys is None else frozenset(keys) for name, keys in found.items()}

    assert mentions(text, NAMES) == expected


def test_what_a_function_is_given_last():
    text = 'key.matches("^a(") || in_network(f("x", y), "10.0.0.0/8") || matches(key, header["x"])'

    assert [*last_texts(text, "matches")] == ['"^a("']
    assert [*last_texts(text, "in_network")] == ['"10.0.0.0/8"']
    assert [*last_texts("matches(", "matches")] == [*last_texts('matches(key + "("', "matches")] == []
