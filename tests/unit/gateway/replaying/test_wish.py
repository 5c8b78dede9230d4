"""Which versions can be asked the same."""

from __future__ import annotations

import pytest

from prism_core.gateway.traffic.replaying.wish import misfit, reference_of
from prism_core.types import Signature, TensorSpec

OUT = (TensorSpec("y", "FP64", (-1,)),)


def table(*names: str, datatype: str = "FP64") -> Signature:
    return Signature(tuple(TensorSpec(name, datatype, (-1,)) for name in names), OUT, columnar=True)


def matrix(width: int, columns: tuple[str, ...] = (), name: str = "x") -> Signature:
    return Signature((TensorSpec(name, "FP64", (-1, width), columns=columns),), OUT)


@pytest.mark.parametrize(
    ("ours", "theirs", "words"),
    [
        (table("a", "b"), table("b", "a"), ""),
        (table("a", "b"), table("a"), "it does not take 'b'"),
        (table("a"), table("a", "b"), "it takes 'b' too"),
        (table("a", "b"), table("a", "c"), "it does not take 'b' and takes 'c' too"),
        (table("a", "b"), table("a", "b", datatype="BYTES"), "its input 'a' is BYTES, and not FP64"),
        (matrix(2), matrix(2, name="input"), ""),
        (matrix(2), matrix(-1), ""),
        (matrix(2), matrix(3), "its input 'x' has the shape (-1, 3), and not (-1, 2)"),
        (matrix(2, ("a", "b")), matrix(2, ("a", "c")), "its columns are 'a', 'c', and not 'a', 'b'"),
        (matrix(2, ("a", "b")), matrix(2), ""),
    ],
)
def test_what_one_takes_that_the_other_does_not(ours, theirs, words):
    assert misfit(ours, theirs) == words


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("churn@3", "churn/3"),
        ("churn@champion", "churn@champion"),
        ("churn/3", "churn/3"),
        ("churn", "churn"),
    ],
)
def test_a_version_may_be_written_as_an_alias_is(text, reference):
    assert reference_of(text) == reference
