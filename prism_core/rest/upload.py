"""One upload over HTTP: the artifact streams in, the steps of its way stream out.

The body is staged before the answer begins, so that what is wrong with the request has
its own status; what is wrong with the artifact is the last line of a 200. A client that
leaves, before or after, leaves nothing behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import attrs
import msgspec
import structlog

from prism_core.dialects import check_encoding
from prism_core.errors import ArtifactTooLarge, InvalidParameter, PayloadTooLarge, UnsupportedInput
from prism_core.gateway.deploy import Progress
from prism_core.gateway.gateway import Gateway
from prism_core.gateway.views import UploadRequest, VersionInfo
from prism_core.rest.errors import problem
from prism_core.rest.streams import disconnected, finish, start

log = structlog.get_logger(__name__)

LINES = "application/x-ndjson"

# Brings what was staged into service; is told whom to tell each step.
Work = Callable[[Progress], Awaitable[VersionInfo]]

# An upload request with its example; an artifact may be far larger.
MAX_SPEC_BYTES = 32 << 20


class ClientGone(Exception):
    """The client left before it had sent everything."""


class Body:
    """A request's body, read as it comes."""

    def __init__(self, receive: Any) -> None:
        self._receive = receive
        self._ahead = b""
        self._more = True

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield what is left; `ClientGone` if it does not come to its end."""
        while self._ahead or self._more:
            chunk, self._ahead = self._ahead or await self._next(), b""
            yield chunk

    async def take(self, size: int) -> bytes:
        """Return the first ``size`` bytes of what is left, fewer where there are not as many."""
        taken = bytearray()
        async for chunk in self.chunks():
            taken += chunk
            if len(taken) >= size:
                break
        self._ahead = bytes(taken[size:])
        return bytes(taken[:size])

    async def _next(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        self._more = message.get("more_body", False)
        body: bytes = message.get("body", b"")
        return body


def upload_request(spec: str | bytes) -> tuple[UploadRequest, frozenset[str]]:
    """Read what comes with the bytes of an upload; return it, and the keys that were written.

    Raises
    ------
    InvalidParameter
        With the key that is wrong, or because of the model's name.
    """
    try:
        request = msgspec.json.decode(spec, type=UploadRequest)
        said = frozenset(msgspec.json.decode(spec, type=dict[str, msgspec.Raw]))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:  # also text that is no UTF-8
        raise InvalidParameter(
            f"The parameter `spec` is not an upload request: {error}.",
            hint='It is a JSON object such as {"filename": "churn_model.pkl"}.',
        ) from error
    _ = request.model  # a name that cannot be is refused before the bytes come
    return request, said


@attrs.frozen(eq=False)
class Upload:
    """An ASGI application that takes one upload.

    Parameters
    ----------
    spec
        The upload request as JSON, "" where it stands in the body.
    spec_bytes
        How many bytes at the body's beginning are the upload request: an example may be
        longer than any URL.
    """

    gateway: Gateway
    spec: str = ""
    spec_bytes: int = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Stage the body, deploy it, report."""
        self._check_head(scope)
        body = Body(receive)
        try:
            request, said = upload_request(await body.take(self.spec_bytes) if self.spec_bytes else self.spec)
            async with self.gateway.stage(request.model) as staged:
                async for chunk in body.chunks():
                    await staged.write(chunk)
                await start(send, LINES)
                await self._deploy(partial(self.gateway.upload, request, staged, said=said), receive, send)
                await finish(send)
        except ClientGone:
            log.info("upload.cut")

    def _check_head(self, scope: Any) -> None:
        headers = dict(scope["headers"])
        check_encoding(headers.get(b"content-encoding", b"").decode("latin-1"))
        if headers.get(b"content-type", b"").lower().startswith(b"multipart/"):
            raise UnsupportedInput(
                "An upload is the artifact's bytes, not a form.",
                hint="With curl, send the file by --data-binary @FILE, not by -F.",
            )
        self._check_length(int(headers.get(b"content-length", b"0")) - self.spec_bytes)

    def _check_length(self, length: int) -> None:
        limit = self.gateway.settings.limits.max_artifact
        if self.spec_bytes < 0:
            raise InvalidParameter("The parameter `spec_bytes` is less than 0.")
        if self.spec_bytes > MAX_SPEC_BYTES:
            raise PayloadTooLarge(f"An upload request has at most {MAX_SPEC_BYTES} bytes.")
        if length > limit:
            raise ArtifactTooLarge(
                f"The artifact has {length} bytes; this server takes {limit}.",
                hint="Raise limits.max_artifact in prism.yaml.",
            )

    async def _deploy(self, work: Work, receive: Any, send: Any) -> None:
        lines: asyncio.Queue[bytes | None] = asyncio.Queue()
        async with asyncio.TaskGroup() as group:
            working = group.create_task(_worked(work, lines))
            watch = group.create_task(_cancel_when_gone(receive, working))
            while (line := await lines.get()) is not None:
                await send({"type": "http.response.body", "body": line, "more_body": True})
            watch.cancel()


async def _worked(work: Work, lines: asyncio.Queue[bytes | None]) -> None:
    def progress(step: str, facts: Mapping[str, Any]) -> None:
        lines.put_nowait(_line({"event": "step", "step": step, **facts}))

    try:
        lines.put_nowait(_line({"event": "done", "version": await work(progress)}))
    except Exception as error:  # the status is sent: every failure is the stream's last line
        lines.put_nowait(_line({"event": "error", "error": problem(error)}))
    finally:
        lines.put_nowait(None)


async def _cancel_when_gone(receive: Any, work: asyncio.Task[None]) -> None:
    await disconnected(receive)
    work.cancel()


def _line(value: Any) -> bytes:
    return msgspec.json.encode(value, enc_hook=str) + b"\n"
