"""The REST faces beside predictions: one for everybody, one on the admin listener that changes the server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from prism_core.plugin import Frontend, Host
from prism_oip import told
from prism_oip.problems import problem
from prism_oip.rest.application import CHANGES, PREDICTS, READS, Application, Handler
from prism_oip.rest.paths import asks

Opening = Callable[..., AbstractAsyncContextManager[Application]]


def _opening(extensions: Sequence[str], handlers: Mapping[str, Handler]) -> Opening:
    @asynccontextmanager
    async def opened(config: Any, host: Host) -> AsyncIterator[Application]:
        yield Application(host, extensions, handlers)

    return opened


PUBLIC = Frontend(
    "oip", open=_opening(told.PUBLIC, {**READS, **PREDICTS}), path="/v2", asks=asks, problem=problem
)
OWNERS = Frontend(
    "oip-admin",
    open=_opening(told.OWNERS, {**READS, **CHANGES}),
    path="/v2",
    listener="admin",
    problem=problem,
)
