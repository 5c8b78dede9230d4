"""What `prism show` says of a signature."""

from __future__ import annotations

import pytest

from prism_core.cli.commands.show import _tensor

SPEC = {"name": "X", "datatype": "FP64", "shape": [-1, 2], "nullable": True}


@pytest.mark.parametrize(
    ("more", "values"),
    [
        ({}, ""),
        ({"categories": ["basic", "plus"]}, "basic, plus"),
        ({"columns": ["a", "b"]}, "a, b"),
        ({"columns": ["a", "b"], "ranges": [[0.0, 71.0], None]}, "a (0 to 71), b"),
        ({"columns": ["a", "b"], "ranges": [[-0.5, 0.25]]}, "a, b: -0.5 to 0.25"),
        ({"ranges": [[0.0, 16.0]]}, "0 to 16"),
        ({"ranges": [None, [0.0, 16.0]]}, "any, 0 to 16"),
    ],
)
def test_a_tensor_shows_what_is_known_of_its_values(more, values):
    assert _tensor(SPEC | more) == ("X", "FP64 or null", "any x 2", values)
