"""The admin API of a server, which is quicker than the command line."""

from __future__ import annotations

import time
from typing import Any

import httpx

from prism_core.testing.server import ServerProcess


def admin(server: ServerProcess, model: str, method: str, path: str, **options: Any) -> Any:
    """Return the answer to a request about a model."""
    return asked(server, method, f"/models/{model}{path}", **options)


def asked(server: ServerProcess, method: str, path: str, **options: Any) -> Any:
    """Return the answer to a request."""
    headers = {"Authorization": f"Bearer {(server.data_dir / 'admin-token').read_text()}"}
    url = f"{server.facts['admin']}/admin/v1{path}"
    return httpx.request(method, url, headers=headers, timeout=60, **options).raise_for_status().json()


def wait_for(server: ServerProcess, model: str, requests: int) -> dict[str, Any]:
    """Return the recording of a model once it holds so many requests; they are written within a second."""
    ends = time.monotonic() + 60
    while True:
        found: dict[str, Any] = admin(server, model, "GET", "/recordings")
        if found["requests"] >= requests:
            return found
        assert time.monotonic() < ends, found
        time.sleep(0.05)
