"""Who hears of links: events, the audit log, metrics, a webhook that is a real server, the desktop."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from prism_core.gateway.telling import Moved, Telling, sentence
from prism_core.settings import LinkSettings
from tests.integration.publishing.conftest import opened, until
from tests.integration.tunnels import Noticing, provider

WANTED = {"forwarder": ["abc", "def"]}


class Hook:
    """A web server that takes notices; it answers the statuses that it is given, then 204."""

    def __init__(self, *statuses: int):
        self.statuses = list(statuses)
        self.told = []

    async def answer(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        self.told.append(json.loads(await reader.readexactly(length)))
        status = self.statuses.pop(0) if self.statuses else 204
        location = "Location: /elsewhere\r\n" if status == 302 else ""
        writer.write(
            f"HTTP/1.1 {status} X\r\n{location}Content-Length: 0\r\nConnection: close\r\n\r\n".encode()
        )
        writer.close()

    @asynccontextmanager
    async def serving(self):
        server = await asyncio.start_server(self.answer, "127.0.0.1", 0)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/secret"


def audited(data, *actions):
    lines = map(json.loads, (data / "audit.jsonl").read_text().splitlines())
    return [(line["action"], line["subject"]) for line in lines if line["action"] in actions]


async def test_links_that_move_are_told_to_everybody(tmp_path):
    hook, forwarder = Hook(), Noticing()
    async with hook.serving() as url:
        chosen = LinkSettings(webhook=url)
        async with opened(tmp_path, provider(forwarder), wanted=WANTED, links=chosen) as gateway:
            events = gateway.events.subscribe()
            first = (await gateway.publishing.ensure("forwarder")).url
            heard = asyncio.create_task(take(events, "link.moved"))
            forwarder.cut()
            moved = await heard
            await until(lambda: hook.told)
            text = (await gateway.scrape())[0].decode()

    now = moved.facts["to"]
    assert moved.facts == {"tunnel": "forwarder", "from": first, "to": now, "links": ["abc", "def"]}
    assert hook.told == [{"event": "link.moved", **moved.facts}]
    assert audited(tmp_path, "link.up", "link.down", "link.moved") == [
        ("link.up", first), ("link.down", first), ("link.up", now), ("link.moved", now)
    ]  # fmt: skip
    assert 'prism_tunnel_up{tunnel="forwarder"} 1.0' in text
    assert 'prism_tunnel_republished_total{tunnel="forwarder"} 1.0' in text


async def take(events, name):
    async for event in events:
        if event.name == name:
            return event


async def test_links_that_move_while_the_server_is_away_are_told(tmp_path):
    hook = Hook()
    async with hook.serving() as url:
        for _ in range(2):
            chosen = LinkSettings(webhook=url)
            async with opened(tmp_path, provider(Noticing()), wanted=WANTED, links=chosen) as gateway:
                await until(lambda gateway=gateway: gateway.publishing.info("forwarder").state == "up")

    assert [told["links"] for told in hook.told] == [["abc", "def"]]


async def test_nobody_is_told_where_nobody_has_a_link(tmp_path):
    hook, forwarder = Hook(), Noticing()
    async with (
        hook.serving() as url,
        opened(tmp_path, provider(forwarder), links=LinkSettings(webhook=url)) as gateway,
    ):
        await gateway.publishing.ensure("forwarder")
        forwarder.cut()
        await until(lambda: audited(tmp_path, "link.moved"))

    assert hook.told == []


@pytest.mark.parametrize(("statuses", "asked"), [((), 1), ((500, 302), 3), ((500, 500, 500, 500), 3)])
async def test_a_webhook_is_tried_a_few_times(statuses, asked):
    """A redirect is an answer like any other: what is told goes where the settings say."""
    hook = Hook(*statuses)
    async with hook.serving() as url:
        telling = Telling(LinkSettings(webhook=url), again_s=(0.0, 0.0))
        await telling.tell(Moved("relay", "http://a", "http://b", ("x",)))

    assert len(hook.told) == asked


@pytest.fixture
def desktop(tmp_path, monkeypatch):
    """A notify-send that writes down what it is given."""
    told = tmp_path / "told"
    program = tmp_path / "bin" / "notify-send"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {told}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    return told


async def test_the_desktop_is_told(desktop):
    await Telling(LinkSettings(notify=True)).tell(Moved("relay", "http://a", "http://b", ("x", "y")))

    assert desktop.read_text().splitlines() == [
        "--app-name=PRISM", "--", "PRISM", "2 links have another address now: http://b (was http://a)."
    ]  # fmt: skip


async def test_a_machine_without_a_desktop(desktop, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")

    await Telling(LinkSettings(notify=True)).tell(Moved("relay", "http://a", "http://b", ("x",)))

    assert not desktop.exists()


def test_one_link_is_one():
    said = sentence(Moved("relay", "http://a", "http://b", ("x",)))

    assert said == "Your link has another address now: http://b (was http://a)."
