"""The table of checks: every one, in the order in which they are tried."""

from __future__ import annotations

from prism_oip.conformance.check import Check
from prism_oip.conformance.checks import (
    binary,
    configuration,
    errors,
    infer,
    model,
    packing,
    repository,
    rpc,
    server,
    statistics,
)

MODULES = (server, model, infer, errors, binary, packing, statistics, configuration, repository, rpc)
TABLE: tuple[Check, ...] = tuple(
    one for module in MODULES for one in vars(module).values() if isinstance(one, Check)
)


def chosen(groups: tuple[str, ...]) -> tuple[Check, ...]:
    """Return the checks of some groups, all for none."""
    return tuple(one for one in TABLE if not groups or one.group in groups)
