"""Other faces of the server: applications of plugins, mounted by path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prism_core.gateway.gateway import Gateway
from prism_core.rest.errors import problem_response


def mounts_of(gateway: Gateway, listener: str) -> dict[str, Any]:
    """Return the applications that plugins offer for a listener, by path."""
    return {
        frontend.path.rstrip("/"): application
        for frontend, application in gateway.frontends
        if frontend.listener == listener and frontend.path.strip("/")
    }


class Mounted:
    """Hands what lies under a mounted path to its application, the rest to ``others``."""

    def __init__(self, mounts: Mapping[str, Any], others: Any) -> None:
        self._mounts = mounts
        self._others = others

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one ASGI scope."""
        for path, app in self._mounts.items():
            if scope["type"] == "http" and f"{scope['path']}/".startswith(f"{path}/"):
                await _shielded(app, {**scope, "root_path": path}, receive, send)
                return
        await self._others(scope, receive, send)


async def _shielded(app: Any, scope: Any, receive: Any, send: Any) -> None:
    """Run a plugin's application; what it lets escape before it answers is a problem document."""
    started = False

    async def send_on(message: Any) -> None:
        nonlocal started
        started = True
        await send(message)

    try:
        await app(scope, receive, send_on)
    except Exception as error:
        if started:
            raise
        status, headers, body = problem_response(error)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
