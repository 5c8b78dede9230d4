"""The tables and plots of the benchmark, and how its open load is counted."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ElementTree

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import plots, report
from bench.results import Document, Run, Start, read

FACTS = dict.fromkeys(
    (
        "date",
        "commit",
        "cpu",
        "memory",
        "system",
        "python",
        "scikit-learn",
        "onnxruntime",
        "numpy",
        "uvicorn",
        "wrk",
    ),
    "x",
)
SPEEDS = {"PRISM": 6000.0, "ceiling": 8000.0, "Quick": 3000.0, "Slow": 500.0}


@pytest.fixture
def document() -> Document:
    runs = [
        Run(
            number,
            "logistic",
            server,
            connections,
            rps * number,
            100 / rps,
            300 / rps,
            0,
            {"gateway": 1e5 / rps},
        )
        for number in (1, 2, 3)
        for server, rps in SPEEDS.items()
        for connections in (1, 16, 64)
    ]
    starts = [Start(1, "logistic", server, 1.25, 80.0) for server in SPEEDS]
    installed = {"PRISM": {"version": "0.1", "size_mb": 500.0, "packages": 55}}
    return Document(FACTS, {"rounds": 3, "seconds": 2}, installed, runs, starts)


def test_a_table_has_the_medians_and_the_quickest_first(document):
    lines = report.model_table(document, "logistic").splitlines()[4:]

    assert [line.split(" | ")[0] for line in lines] == ["| ceiling", "| **PRISM**", "| Quick", "| Slow"]
    assert "| 12,000 | 6,000-18,000 |" in lines[1]


def test_ratios_name_the_best_peer_and_no_ceiling(document):
    line = report.ratios(document).splitlines()[-1]

    assert "| 0.75 x |" in line
    assert line.count("Quick: 2.00 x") == 3


def test_a_server_that_was_not_measured_leaves_its_cells_empty(document):
    document.runs = [run for run in document.runs if (run.server, run.connections) != ("Slow", 1)]

    assert report.line_of(document, "logistic", "Slow")[:3] == ["Slow", "", ""]


def test_what_is_written_is_read_again(document):
    assert read(attrs.asdict(document)) == document


def test_parts_replace_what_stood_in_their_place():
    page = "a\n<!-- x -->\nold\n<!-- end -->\nb\n<!-- y -->\n<!-- end -->\n"
    once = report.insert(page, {"x": r"new \1", "y": "more"})

    assert re.sub(r"\n+", " ", once) == r"a <!-- x --> new \1 <!-- end --> b <!-- y --> more <!-- end --> "
    assert report.insert(once, {"x": r"new \1", "y": "more"}) == once


def test_a_page_without_the_place_is_refused():
    with pytest.raises(ValueError, match="<!-- x -->"):
        report.insert("nothing", {"x": "new"})


def test_a_plot_is_well_formed_and_names_every_server_once_a_panel(document):
    svg = plots.plot(document, "rps", "A & B")

    texts = [text.text for text in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert all(texts.count(server) == 1 for server in SPEEDS)


@given(st.dictionaries(st.text(max_size=3), st.floats(plots.TOP, plots.HEIGHT - plots.BOTTOM), max_size=12))
def test_labels_never_overlap_and_stay_above_the_axis(wanted):
    found = sorted(plots.spread(wanted).values())

    assert all(lower - upper >= plots.LABEL_GAP - 1e-6 for upper, lower in itertools.pairwise(found))
    assert not found or found[-1] <= plots.HEIGHT - plots.BOTTOM


@given(st.lists(st.floats(0.001, 1e6), min_size=1))
def test_an_axis_has_room_for_all_its_values(values):
    scale = plots.Scale.over(values)

    assert all(plots.TOP - 1e-6 <= scale.y(value) <= plots.HEIGHT - plots.BOTTOM + 1e-6 for value in values)
