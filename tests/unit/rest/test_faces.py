"""Frontends with a listener of their own: which are opened, what becomes of one that cannot be, the end."""

import asyncio
from contextlib import asynccontextmanager

import attrs
import pytest

from prism_core.errors import ConfigError
from prism_core.rest.faces import faces_of, urls_of
from prism_core.serving import Frontend


@attrs.define
class FakeFace:
    url: str = "toy://0.0.0.0:7"
    answered: asyncio.Event = attrs.field(factory=asyncio.Event)
    closed: bool = False

    async def drain(self, timeout_s):
        async with asyncio.timeout(timeout_s or None):
            await self.answered.wait()


@attrs.define
class Config:
    asked: bool = False


@attrs.frozen
class Plugins:
    frontends: dict


def offering(face, *, reason="", fails=None, **attributes):
    """Return plugins that offer one frontend."""

    @asynccontextmanager
    async def open_it(config, host):
        if fails is not None:
            raise fails
        yield face
        if face is not None:
            face.closed = True

    frontend = Frontend(
        "toy",
        open=open_it,
        config=Config,
        available=lambda: reason,
        wanted=lambda config: config.asked,
        **{"listener": "own", **attributes},
    )
    return Plugins({"toy": frontend})


ASKED = {"toy": {"asked": True}}


async def opened(plugins, configs):
    async with faces_of(0.0, asyncio.Event()) as faces:
        return await faces.open(plugins, configs, None)


async def test_it_is_told_where_one_listens_and_closed_at_the_end():
    face = FakeFace()
    face.answered.set()

    assert await opened(offering(face), {}) == {"toy": "toy://0.0.0.0:7"}
    assert face.closed


async def test_one_that_wants_no_listener_has_none():
    assert await opened(offering(None), {}) == {}


async def test_an_application_is_not_opened_here():
    assert await opened(offering(FakeFace(), listener="public"), {}) == {}


@pytest.mark.parametrize("faulty", [{"reason": "It lacks toys."}, {"fails": OSError("taken")}])
async def test_one_that_cannot_be_opened_is_left_out(faulty):
    assert await opened(offering(FakeFace(), **faulty), {}) == {}


@pytest.mark.parametrize(
    ("faulty", "says"),
    [
        ({"reason": "It lacks toys."}, "It lacks toys"),
        ({"fails": OSError("taken")}, "taken"),
        ({"fails": ConfigError("Port 7 is taken.")}, "Port 7"),
    ],
)
async def test_one_that_is_asked_for_and_cannot_be_opened_ends_the_start(faulty, says):
    with pytest.raises(ConfigError, match=says):
        await opened(offering(FakeFace(), **faulty), ASKED)


async def test_the_end_waits_for_what_is_in_flight():
    face, hurry = FakeFace(), asyncio.Event()
    async with faces_of(30.0, hurry) as faces:
        await faces.open(offering(face), {}, None)
        faces.drain()
        asyncio.get_running_loop().call_soon(face.answered.set)

    assert face.closed
    assert not faces.cut


async def test_the_end_waits_no_longer_once_there_is_a_hurry():
    face, hurry = FakeFace(), asyncio.Event()
    async with faces_of(30.0, hurry) as faces:
        await faces.open(offering(face), {}, None)
        hurry.set()

    assert face.closed
    assert faces.cut


@pytest.mark.parametrize(
    ("listens", "public", "told"),
    [
        ("grpc://0.0.0.0:8081", "http://192.0.2.7:8000", "grpc://192.0.2.7:8081"),
        ("grpc://[::]:8081", "http://[2001:db8::7]:8000", "grpc://[2001:db8::7]:8081"),
        ("grpcs://127.0.0.1:8081", "https://192.0.2.7:8000", "grpcs://127.0.0.1:8081"),
        ("grpc://[::1]:8081", "http://[::1]:8000", "grpc://[::1]:8081"),
    ],
)
def test_one_that_listens_everywhere_is_told_on_the_public_host(listens, public, told):
    assert urls_of({"grpc": listens}, public) == {"grpc": told}
