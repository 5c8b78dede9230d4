"""Requests as they are pasted: no value is bent by its quoting."""

import json
import shlex

from hypothesis import given
from hypothesis import strategies as st

from prism_core.rest.snippets import Sample, curl, python

URL = "http://prism.test/s/a/predict"
NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES)
def test_any_body_survives_the_shell(body):
    words = shlex.split(curl(URL, Sample(body=body), "T"))

    assert words[:6] == ["curl", "-X", "POST", URL, "-H", "Authorization: Bearer T"]
    assert json.loads(words[-1]) == body


@given(VALUES)
def test_any_body_is_the_same_in_python(body):
    (line,) = [line for line in python(URL, Sample(body=body)).split("\n") if line.startswith("body = ")]
    found = {}
    exec(line, found)

    assert found["body"] == body


def test_a_file_is_named_so_that_the_shell_takes_it_for_one():
    assert curl(URL, Sample("text/csv", None, "my rows.csv")).endswith("--data-binary @'my rows.csv'")
