"""One upload from the client's side: send the bytes, follow the steps, return the version."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prism_core.cli.artifacts import Source
from prism_core.cli.building import Building
from prism_core.cli.client import AdminClient, problem_error
from prism_core.cli.progress import Progress
from prism_core.errors import PrismError

# What the steps of an upload are called while they last.
STEPS = {
    "store": "Storing",
    "inspect": "Inspecting",
    "environment": "Preparing the environment",
    "optimize": "Converting, comparing and measuring a faster form",
    "start": "Starting",
    "warm": "Warming up",
    "publish": "Publishing",
}


def send(
    client: AdminClient, source: Source, request: Mapping[str, Any], progress: Progress
) -> dict[str, Any]:
    """Upload ``source`` and return the version that it became.

    The server keeps nothing of an upload whose connection ends before its bytes do.
    """
    client.server()  # a wrong address or token is told before the bytes are sent
    # In the body and not in the URL: an example may be longer than any URL.
    spec = json.dumps({**request, "filename": source.name, "directory": source.directory}).encode()
    headers = {"Content-Type": "application/octet-stream"}
    if not source.directory:
        headers["Content-Length"] = str(len(spec) + source.size_bytes)
    body = _counted(spec, source, progress.sent)
    query = {"spec_bytes": len(spec)}
    with client.stream("POST", "/upload", params=query, content=body, headers=headers) as response:
        return _follow(response.iter_lines(), progress)


def _counted(spec: bytes, source: Source, sent: Callable[[int], None]) -> Iterator[bytes]:
    yield spec
    for chunk in source.chunks():
        yield chunk
        sent(len(chunk))


def _follow(lines: Iterator[str], progress: Progress) -> dict[str, Any]:
    building = Building()
    for line in lines:
        if not line.strip():
            continue
        event = json.loads(line)
        if event["event"] == "step":
            progress.step(building.text(event) or STEPS.get(event["step"], event["step"].capitalize()))
        elif event["event"] == "error":
            raise problem_error(event["error"])
        elif event["event"] == "done":
            version: dict[str, Any] = event["version"]
            return version
    raise PrismError(
        "The server ended the upload without an answer.",
        hint="Its log says why; `prism list` shows what is there.",
    )
