"""The admin routes of API keys: made, listed, revoked."""

from __future__ import annotations

from typing import Any

from litestar import delete, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, JSONBody

from prism_core.gateway.callers.keys import KeyWish
from prism_core.gateway.gateway import Gateway
from prism_core.rest.admin_openapi import told
from prism_core.rest.public import Answer, answer


def key_routes(gateway: Gateway) -> list[HTTPRouteHandler]:
    """Return the handlers."""

    @post("/admin/v1/keys", status_code=200, **told("Make a key; its text is in this answer only"))
    async def create_key(data: JSONBody[KeyWish]) -> Answer:
        shown, text = await gateway.keys.create(data)
        response = answer({**shown, "key": text, "unknown_models": _unknown(gateway, shown)})
        response.headers["cache-control"] = "no-store"  # nobody may keep the only answer that holds it
        return response

    @get("/admin/v1/keys", **told("All keys, without their texts"))
    async def keys() -> Answer:
        return answer({"keys": gateway.keys.list()})

    @delete("/admin/v1/keys/{key_id:str}", status_code=200, **told("Revoke a key"))
    async def revoke_key(key_id: FromPath[str]) -> Answer:
        return answer({"revoked": await gateway.keys.revoke(key_id)})

    return [create_key, keys, revoke_key]


def _unknown(gateway: Gateway, shown: dict[str, Any]) -> list[str]:
    """Return the key's models that there are not yet: perhaps they come, perhaps it is a slip."""
    return [model for model in shown["models"] or () if model not in gateway.registry.models]
