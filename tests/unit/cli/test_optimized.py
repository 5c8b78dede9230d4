"""What came of ``--optimize``, told to people."""

from prism_core.cli.optimized import optimization_lines

SERVED = {
    "state": "served",
    "reason": "",
    "dtype": "float64",
    "versions": {"skl2onnx": "1.20.0"},
    "rows": 6391,
    "largest_error": 2.5e-16,
    "tolerance": 1e-6,
    "paces": {
        "1": {"original_us": 313.0, "optimized_us": 10.0},
        "16": {"original_us": 339, "optimized_us": 38},
    },
    "speedup": {"1": 31.3, "16": 8.92},
}


def test_a_form_that_is_served_is_told_with_its_measurements():
    assert optimization_lines(SERVED) == [
        "A converted form is served (float64, skl2onnx 1.20.0).",
        "6391 rows compared: every label equal, largest error 2.5e-16 (at most 1e-06 is let pass).",
        "Faster: 313 -> 10 us for 1 row (x31.3), 339 -> 38 us for 16 rows (x8.9).",
    ]


def test_an_original_that_is_kept_is_told_with_the_reason():
    kept = SERVED | {"state": "kept", "reason": "it is no faster", "paces": {}}

    assert optimization_lines(kept) == ["The original is served, no faster form: it is no faster."]


def test_who_did_not_ask_is_told_nothing():
    assert optimization_lines(None) == []
