"""The routes by which answers are judged: for callers, for holders of a link, and for the owner."""

from __future__ import annotations

from typing import Any

import attrs
import msgspec
from litestar import Request, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, JSONBody

from prism_core.gateway.callers.door import caller_of
from prism_core.gateway.callers.link_door import LinkDoor
from prism_core.gateway.gateway import Gateway
from prism_core.gateway.traffic.kinds import Remembered
from prism_core.rest.admin_openapi import told
from prism_core.rest.entrance import FEEDBACK
from prism_core.rest.public import Answer, answer
from prism_core.rest.visiting import entering
from prism_core.specs import Caller

AnyRequest = Request[Any, Any, Any]


@attrs.frozen
class Refusal:
    """An item that counts for nothing, by its place in what was sent, and why."""

    index: int
    request_id: str
    code: str
    detail: str
    hint: str


@attrs.frozen
class FeedbackInfo:
    """What came of feedback. ``repeated``: said before, and the same; ``errors`` are the first refusals."""

    judged: int
    repeated: int
    refused: int
    errors: list[Refusal]


def feedback_route(gateway: Gateway) -> HTTPRouteHandler:
    """Return the handler for callers, behind the door of the public listener."""

    @post(FEEDBACK, status_code=200)
    async def feedback(request: AnyRequest) -> Answer:
        return await _taken(gateway, request, caller_of(request.scope))

    return feedback


def link_feedback_route(gateway: Gateway, door: LinkDoor) -> HTTPRouteHandler:
    """Return the handler for holders of links: they judge what their own link has answered."""

    @post("/s/{slug:str}/feedback", status_code=200)
    async def link_feedback(request: AnyRequest, slug: FromPath[str]) -> Answer:
        return await _taken(gateway, request, entering(door, request, slug, "judge").caller, own=True)

    return link_feedback


def owner_feedback_route(gateway: Gateway) -> HTTPRouteHandler:
    """Return the handler for the owner."""

    @post("/admin/v1/feedback", status_code=200, **told("Judge answers, by request id", FeedbackInfo))
    async def owner_feedback(data: JSONBody[list[dict[str, Any]]]) -> Answer:
        judging = gateway.traffic.learning.judging
        return answer(await judging.judge(msgspec.json.encode(data), "application/json", lambda one: True))

    return owner_feedback


async def _taken(gateway: Gateway, request: AnyRequest, caller: Caller, *, own: bool = False) -> Answer:
    def may(one: Remembered) -> bool:
        return one.caller == caller.id if own else caller.may("judge", one.model)

    body, kind = await request.body(), request.headers.get("content-type", "")
    return answer(await gateway.traffic.learning.judging.judge(body, kind, may))
