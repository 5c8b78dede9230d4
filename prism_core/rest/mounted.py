"""Other faces of the server: applications of plugins, mounted by path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from prism_core.gateway.callers.door import caller_of, discreet
from prism_core.gateway.gateway import Gateway
from prism_core.rest.speaking import refusal_in
from prism_core.serving import Frontend


@attrs.frozen(eq=False)
class Mount:
    """A plugin's application and the record that offered it."""

    frontend: Frontend
    app: Any


Mounts = Mapping[str, Mount]


def mounts_of(gateway: Gateway, listener: str) -> dict[str, Mount]:
    """Return what plugins offer for a listener, by path."""
    return {
        frontend.path.rstrip("/"): Mount(frontend, application)
        for frontend, application in gateway.frontends
        if frontend.listener == listener and frontend.path.strip("/")
    }


def frontend_at(mounts: Mounts, path: str) -> Frontend | None:
    """Return the record of what is mounted above a path, None for the core's own routes."""
    for mounted, mount in mounts.items():
        if f"{path}/".startswith(f"{mounted}/"):
            return mount.frontend
    return None


class Mounted:
    """Hands what lies under a mounted path to its application, the rest to ``others``."""

    def __init__(self, mounts: Mounts, others: Any) -> None:
        self._mounts = mounts
        self._others = others

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one ASGI scope."""
        for path, mount in self._mounts.items():
            if scope["type"] == "http" and f"{scope['path']}/".startswith(f"{path}/"):
                await _shielded(mount, {**scope, "root_path": path}, receive, send)
                return
        await self._others(scope, receive, send)


async def _shielded(mount: Mount, scope: Any, receive: Any, send: Any) -> None:
    """Run a plugin's application; what it lets escape before it answers is told in the plugin's words."""
    started = False

    async def send_on(message: Any) -> None:
        nonlocal started
        started = True
        await send(message)

    try:
        await mount.app(scope, receive, send_on)
    except Exception as error:
        if started:
            raise
        status, headers, body = refusal_in(mount.frontend.problem, discreet(error, caller_of(scope)))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
