"""One upload over HTTP: the artifact streams in, the steps of its way stream out.

The body is staged before the answer begins, so that what is wrong with the request has
its own status; what is wrong with the artifact is the last line of a 200. A client that
leaves, before or after, leaves nothing behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import attrs
import msgspec
import structlog

from prism_core.errors import ArtifactTooLarge, InvalidParameter
from prism_core.gateway.gateway import Gateway
from prism_core.gateway.store import Staged
from prism_core.gateway.views import UploadRequest
from prism_core.rest.errors import problem
from prism_core.rest.streams import disconnected, finish, start

log = structlog.get_logger(__name__)

LINES = "application/x-ndjson"


def upload_request(spec: str) -> UploadRequest:
    """Read the ``spec`` parameter.

    Raises
    ------
    InvalidParameter
        With the key that is wrong, or because of the model's name.
    """
    try:
        request = msgspec.json.decode(spec, type=UploadRequest)
    except msgspec.MsgspecError as error:
        raise InvalidParameter(
            f"The parameter `spec` is not an upload request: {error}.",
            hint='It is a JSON object such as {"filename": "churn_model.pkl"}.',
        ) from error
    _ = request.model  # a name that cannot be is refused before the bytes come
    return request


@attrs.frozen(eq=False)
class Upload:
    """An ASGI application that takes one upload."""

    gateway: Gateway
    request: UploadRequest

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Stage the body, deploy it, report."""
        limit = self.gateway.settings.limits.max_artifact
        length = int(dict(scope["headers"]).get(b"content-length", b"0"))
        if length > limit:
            raise ArtifactTooLarge(
                f"The artifact has {length} bytes; this server takes {limit}.",
                hint="Raise limits.max_artifact in prism.yaml.",
            )
        async with self.gateway.stage(self.request.filename or self.request.name) as staged:
            if await receive_body(receive, staged):
                await start(send, LINES)
                await self._deploy(staged, receive, send)
                await finish(send)
            else:
                log.info("upload.cut", filename=self.request.filename)

    async def _deploy(self, staged: Staged, receive: Any, send: Any) -> None:
        lines: asyncio.Queue[bytes | None] = asyncio.Queue()
        async with asyncio.TaskGroup() as group:
            work = group.create_task(self._work(staged, lines))
            watch = group.create_task(_cancel_when_gone(receive, work))
            while (line := await lines.get()) is not None:
                await send({"type": "http.response.body", "body": line, "more_body": True})
            watch.cancel()

    async def _work(self, staged: Staged, lines: asyncio.Queue[bytes | None]) -> None:
        def progress(step: str, facts: Mapping[str, Any]) -> None:
            lines.put_nowait(_line({"event": "step", "step": step, **facts}))

        try:
            version = await self.gateway.upload(self.request, staged, progress)
            lines.put_nowait(_line({"event": "done", "version": version}))
        except Exception as error:  # the status is sent: every failure is the stream's last line
            lines.put_nowait(_line({"event": "error", "error": problem(error)}))
        finally:
            lines.put_nowait(None)


async def receive_body(receive: Any, staged: Staged) -> bool:
    """Write a request's body to ``staged`` as it comes; False if the client left before its end."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return False
        if chunk := message.get("body"):
            await staged.write(chunk)
        if not message.get("more_body"):
            return True


async def _cancel_when_gone(receive: Any, work: asyncio.Task[None]) -> None:
    await disconnected(receive)
    work.cancel()


def _line(value: Any) -> bytes:
    return msgspec.json.encode(value, enc_hook=str) + b"\n"
