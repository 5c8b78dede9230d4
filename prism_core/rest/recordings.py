"""The admin routes of recordings: what there is, taken away, deleted."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator

import attrs
import msgspec
from litestar import delete, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery
from litestar.types import ASGIApp

from prism_core.gateway.gateway import Gateway
from prism_core.gateway.traffic.recordings.reading import Reader
from prism_core.gateway.traffic.recordings.shelf import RecordingInfo, ahead, line_of
from prism_core.rest.admin_openapi import told
from prism_core.rest.public import Answer, answer
from prism_core.rest.streams import Stream
from prism_core.rest.upload import LINES

RECORDINGS = "/admin/v1/models/{model:str}/recordings"


@attrs.frozen
class AllRecordings:
    """The recordings of all models."""

    recordings: list[RecordingInfo]


def recording_routes(gateway: Gateway, stopping: asyncio.Event) -> list[HTTPRouteHandler]:
    """Return the handlers; an export ends when ``stopping`` is set."""

    @get("/admin/v1/recordings", **told("The recordings of all models", AllRecordings))
    async def recordings() -> Answer:
        return answer(AllRecordings(await gateway.traffic.recordings.all()))

    @get(RECORDINGS, **told("The recording of a model", RecordingInfo))
    async def recording(model: FromPath[str]) -> Answer:
        return answer(await gateway.traffic.recordings.show(model))

    @delete(RECORDINGS, status_code=200, **told("Remove what was recorded of a model"))
    async def delete_recording(model: FromPath[str]) -> Answer:
        await gateway.traffic.recordings.delete(model)
        return answer({"deleted": model})

    @get(f"{RECORDINGS}/requests", **told("The recorded requests, a line each", str, LINES))
    async def export(
        model: FromPath[str], since: FromQuery[float | None] = None, until: FromQuery[float | None] = None
    ) -> ASGIApp:
        reader = await gateway.traffic.recordings.export(
            model, since or 0.0, math.inf if until is None else until
        )
        return Stream(_lines(reader), LINES, stopping)

    return [recordings, recording, delete_recording, export]


async def _lines(reader: Reader) -> AsyncGenerator[bytes, None]:
    async for exchange in ahead(iter(reader)):
        yield msgspec.json.encode(line_of(exchange)) + b"\n"
