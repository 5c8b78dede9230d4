"""A probe believes this server alone: whatever else answers, with or without TLS, and however it ends."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager

import pytest

from prism_core.gateway.probing import PATH, Prober
from prism_core.rest.tls.authority import Files, issue, open_authority
from prism_core.rest.tls.names import local_names


@asynccontextmanager
async def answering(answer, tls=None):
    """Serve one answer, made of a probe's path; yield the address."""

    async def serve(reader, writer):
        path = (await reader.readuntil(b"\r\n\r\n")).decode().split(" ")[1]
        writer.write(answer(path))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield f"https://localhost:{port}" if tls else f"http://127.0.0.1:{port}"


def ok(body):
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(body), body)


@pytest.fixture
async def prober():
    prober = Prober()
    yield prober
    await prober.close()


def honest(prober):
    return lambda path: ok(prober.answer(path.removeprefix(PATH)) or b"")


async def test_this_server_is_believed(prober):
    async with answering(honest(prober)) as base:
        assert await prober.ask(base) == ""
        assert await asyncio.gather(*(prober.ask(base) for _ in range(5))) == [""] * 5


async def test_what_was_answered_is_answered_no_more(prober):
    """Nobody can learn anything from the route but who is asking at this moment."""
    asked = []
    async with answering(lambda path: asked.append(path) or honest(prober)(path)) as base:
        await prober.ask(base)

    assert prober.answer(asked[0].removeprefix(PATH)) is None
    assert prober.answer("") is None


OTHERS = {
    "a page in front": (lambda path: ok(b"<html>Click to visit the site</html>"), "answers 200, but"),
    "the nonce": (lambda path: ok(path.removeprefix(PATH).encode()), "answers 200, but"),
    "nothing": (lambda path: ok(b""), "answers 200, but"),
    "without end": (lambda path: ok(b"x" * 50_000_000), "answers 200, but"),
    "elsewhere": (
        lambda path: b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
        "answers 302",
    ),
    "a gateway": (lambda path: b"HTTP/1.1 502 Bad\r\nContent-Length: 0\r\n\r\n", "answers 502"),
    "no HTTP": (lambda path: b"SSH-2.0-OpenSSH_9.2\r\n", "cannot be reached"),
    "the end": (lambda path: b"", "cannot be reached"),
}


@pytest.mark.parametrize(("answer", "said"), OTHERS.values(), ids=OTHERS)
async def test_others_are_not(prober, answer, said):
    async with answering(answer) as base:
        reason = await prober.ask(base)

    assert said in reason
    assert base in reason
    assert PATH not in reason


async def test_an_answer_of_this_server_with_more_behind_it_is_not_its_own(prober):
    async with answering(lambda path: ok(prober.answer(path.removeprefix(PATH)) + b"!")) as base:
        assert "not this server" in await prober.ask(base)


async def test_nobody_there(prober):
    async with answering(honest(prober)) as base:
        pass

    assert "cannot be reached" in await prober.ask(base)
    assert "cannot be reached" in await prober.ask("https://no.such.host.invalid")


async def test_an_authority_of_ones_own_is_believed_if_it_is_named(tmp_path, prober):
    files = Files.of(tmp_path)
    authority = open_authority(files, "laptop")
    issue(authority, local_names("laptop", (), authority.permitted), files.server)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(files.server)
    trusting = Prober(str(files.ca))
    async with answering(honest(trusting), tls) as base:
        believed = await trusting.ask(base)
        reason = await prober.ask(base)
    await trusting.close()

    assert believed == ""
    assert "certificate" in reason
