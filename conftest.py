"""For all tests: where everything is installed (`.ci/run`), a skipped system test is a failure."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    if report.skipped and "system" in item.keywords and os.environ.get("PRISM_NO_SKIP"):
        report.outcome = "failed"
    return report
