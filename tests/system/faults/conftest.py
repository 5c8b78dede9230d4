"""A stage for the scenes of a module, and the table of what was seen at the end of the run."""

from __future__ import annotations

import pytest

from tests.system.faults.stage import open_stage
from tests.system.faults.table import row

SEEN = "fault"


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    with open_stage(tmp_path_factory.mktemp("stage")) as stage:
        yield stage


@pytest.fixture
def play(stage, record_property):
    """Play a scene; its row is shown when the run is over."""

    def play(scene):
        record_property(SEEN, row(scene.name, scene.run(stage)))

    return play


def pytest_terminal_summary(terminalreporter):
    rows = [
        value
        for report in terminalreporter.stats.get("passed", [])
        for name, value in getattr(report, "user_properties", [])
        if name == SEEN and report.when == "call"
    ]
    if rows:
        terminalreporter.section("faults")
        terminalreporter.write_line("\n".join(rows))
