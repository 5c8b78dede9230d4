"""A check: one clause of the protocol, and the steps that show whether it holds."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import attrs

from prism_oip.conformance.exchange import RestSteps, RpcSteps
from prism_oip.conformance.subject import Subject

# A clause that every server keeps; one that is good sense, or a later text; one of an extension.
REQUIRED, RECOMMENDED, EXTENSION = "required", "recommended", "extension"

# The groups, in their order; known here so that the command's help needs no checks.
GROUPS = (
    "server", "model", "infer", "errors", "binary",
    "compression", "statistics", "configuration", "repository", "grpc",
)  # fmt: skip

Steps = Callable[[Subject], RestSteps[None] | RpcSteps[None]]


@attrs.frozen
class Check:
    """One clause.

    Parameters
    ----------
    name
        What it is called, ``infer.id``: the group, and what it asks.
    level
        `REQUIRED`, `RECOMMENDED` or `EXTENSION`.
    clause
        What of the protocol it is.
    steps
        Yields requests, is sent their answers, raises `Unmet`, `Untried` or `NotOffered`.
    extension
        The extension that has the clause; asked only of servers that advertise it.
    of_model
        Whether it is asked of each model.
    rpc
        Whether it is asked by gRPC.
    writes
        Whether it changes the server.
    """

    name: str
    level: str
    clause: str
    steps: Steps
    extension: str = ""
    of_model: bool = True
    rpc: bool = False
    writes: bool = False

    @property
    def group(self) -> str:
        """The group, of its name."""
        return self.name.partition(".")[0]

    @property
    def sentence(self) -> str:
        """What holds if it holds; the docstring."""
        return (inspect.getdoc(self.steps) or "").replace("``", "`")


def group(name: str, **common: Any) -> Callable[..., Callable[[Steps], Check]]:
    """Return what makes checks of a group: ``@check(REQUIRED, "Server Live")``."""

    def check(level: str, clause: str, **own: Any) -> Callable[[Steps], Check]:
        def of(steps: Any) -> Check:
            title = f"{name}.{steps.__name__.replace('_', '-').strip('-')}"
            return Check(title, level, clause, steps, **{**common, **own})

        return of

    return check
