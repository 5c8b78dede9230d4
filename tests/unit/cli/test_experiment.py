"""`prism experiment`: what is told, and what is asked of the server."""

from __future__ import annotations

import time
from contextlib import nullcontext

import httpx
import pytest

from prism_core.cli.commands import experiment


@pytest.fixture
def asked(answering, monkeypatch):
    """Answer as a server on which an experiment has just begun; return the methods that it was asked with."""
    methods = []

    def answer(request: httpx.Request) -> httpx.Response:
        methods.append(request.method)
        arms = [{"arm": f"churn/{one}", "name": str(one), "percent": 50.0, "requests": 0} for one in (1, 2)]
        facts = {"begun": time.time(), "alpha": 0.05, "control": "churn/1", "guard": None, "removed": None}
        return httpx.Response(200, json={"model": "churn", "arms": arms, "lines": [], "verdicts": []} | facts)

    monkeypatch.setattr(experiment, "admin", lambda: nullcontext(answering(answer)))
    return methods


def test_it_says_since_when_versions_are_compared(prism, asked):
    run = prism("experiment", "churn")

    assert run.exit_code == 0
    assert "churn: compared with 1, begun just now; 1 has 50%, 2 has 50%." in run.output
    assert asked == ["GET"]


def test_what_was_begun_anew_can_be_watched(prism, asked, monkeypatch):
    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(experiment.time, "sleep", interrupted)
    run = prism("experiment", "churn", "--restart", "--watch")

    assert asked == ["DELETE", "GET"]
    assert "begun just now" in run.output
