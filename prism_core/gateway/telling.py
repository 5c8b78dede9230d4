"""Tell the owner of links that they have another address: a webhook, a notice on the desktop.

What is told are addresses and slugs, which open nothing; no token is known here.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import attrs
import structlog

from prism_core.settings import LinkSettings

if TYPE_CHECKING:
    import httpx

log = structlog.get_logger("prism.links")

# What a webhook has for its answer, and how long to wait before each further try.
ANSWER_S, AGAIN_S = 5.0, (2.0, 10.0)
NOTICE_S = 5.0
# The text is an argument, never a part of the script.
_APPLE = ("on run argv", "display notification (item 2 of argv) with title (item 1 of argv)", "end run")


@attrs.frozen
class Moved:
    """Links that go through ``tunnel`` have another base URL."""

    tunnel: str
    before: str
    now: str
    links: tuple[str, ...]

    @property
    def facts(self) -> dict[str, Any]:
        """What is told of it."""
        return {"tunnel": self.tunnel, "from": self.before, "to": self.now, "links": list(self.links)}


class Telling:
    """Tells whom the settings name."""

    def __init__(self, settings: LinkSettings, again_s: Sequence[float] = AGAIN_S) -> None:
        self._settings = settings
        self._again_s = tuple(again_s)

    async def tell(self, moved: Moved) -> None:
        """Tell that links have moved; what cannot be told is logged."""
        telling = []
        if self._settings.webhook:
            telling.append(self._post(moved))
        if self._settings.notify:
            telling.append(asyncio.to_thread(notify, "PRISM", sentence(moved)))
        await asyncio.gather(*telling)

    async def _post(self, moved: Moved) -> None:
        client = await asyncio.to_thread(_client)
        async with client:
            reason = await self._posted(client, moved)
            for wait_s in self._again_s:
                if not reason:
                    return
                await asyncio.sleep(wait_s)
                reason = await self._posted(client, moved)
        if reason:
            log.error("link.webhook_failed", reason=reason, tries=len(self._again_s) + 1)

    async def _posted(self, client: httpx.AsyncClient, moved: Moved) -> str:
        """Return "" if the webhook took it, else why not. Its URL is not told: it may hold a secret."""
        import httpx

        try:
            async with asyncio.timeout(ANSWER_S):
                told = {"event": "link.moved", **moved.facts}
                answer = await client.post(self._settings.webhook, json=told)
        except (httpx.HTTPError, TimeoutError) as error:
            return type(error).__name__
        return "" if answer.is_success else f"It answers {answer.status_code}."


def _client() -> httpx.AsyncClient:
    # In a thread: importing it and reading the system's certificates takes 200 ms.
    import httpx

    return httpx.AsyncClient(follow_redirects=False, timeout=ANSWER_S)


def sentence(moved: Moved) -> str:
    """Return what a person is told."""
    count = len(moved.links)
    what = f"{count} links have" if count != 1 else "Your link has"
    return f"{what} another address now: {moved.now} (was {moved.before})."


def notify(title: str, text: str) -> None:
    """Show a notice on the desktop, if there is one."""
    command = notifier(title, text)
    if command is None:
        log.warning("link.no_desktop", hint="links.notify needs notify-send, or macOS.")
        return
    try:
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=NOTICE_S, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("link.notice_failed", reason=type(error).__name__)


def notifier(title: str, text: str) -> list[str] | None:
    """Return the command that shows a notice here, None where there is none."""
    if linux := shutil.which("notify-send"):
        return [linux, "--app-name=PRISM", "--", title, text]
    if apple := shutil.which("osascript"):
        return [apple, *(word for line in _APPLE for word in ("-e", line)), title, text]
    return None
