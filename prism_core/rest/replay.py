"""The admin route of replays: two versions are asked what was recorded; lines tell how it goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import attrs
import msgspec
from litestar import post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, JSONBody
from litestar.types import ASGIApp

from prism_core.gateway.gateway import Gateway
from prism_core.gateway.traffic.replaying.replays import Replay, Replays, Verdict
from prism_core.gateway.traffic.replaying.wish import ReplayWish
from prism_core.rest.admin_openapi import told
from prism_core.rest.errors import problem
from prism_core.rest.streams import Stream
from prism_core.rest.upload import LINES


def replay_routes(gateway: Gateway, stopping: asyncio.Event) -> list[HTTPRouteHandler]:
    """Return the handlers; a replay ends when its client leaves, or ``stopping`` is set."""

    @post(
        "/admin/v1/models/{model:str}/replay",
        status_code=200,
        **told("Ask two versions what was recorded; a line for how it goes", str, LINES),
    )
    async def replay(model: FromPath[str], data: JSONBody[ReplayWish]) -> ASGIApp:
        prepared = await gateway.traffic.replays.prepare(model, data)
        return Stream(_lines(gateway.traffic.replays, prepared), LINES, stopping)

    return [replay]


async def _lines(replays: Replays, prepared: Replay) -> AsyncGenerator[bytes, None]:
    try:
        async with aclosing(replays.run(prepared)) as run:
            async for told in run:
                event = "done" if isinstance(told, Verdict) else "progress"
                yield _line({"event": event, **attrs.asdict(told, recurse=False)})
    except Exception as error:  # the status is sent: every failure is the stream's last line
        yield _line({"event": "error", "error": problem(error)})


def _line(value: object) -> bytes:
    return msgspec.json.encode(value, enc_hook=str) + b"\n"
