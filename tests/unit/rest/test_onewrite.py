"""Writes of one turn of the event loop leave as one."""

from __future__ import annotations

import asyncio

from prism_core.rest.onewrite import OneWrite


class Wire:
    """A transport that remembers."""

    def __init__(self):
        self.seen = []

    def write(self, data):
        self.seen.append(data)

    def close(self):
        self.seen.append("closed")

    def is_closing(self):
        return "closed" in self.seen


def opened():
    wire = Wire()
    return wire, OneWrite(wire, asyncio.get_running_loop())


async def test_head_and_body_are_one_write():
    wire, transport = opened()
    transport.write(b"head ")
    transport.write(b"body")
    assert wire.seen == []
    await asyncio.sleep(0)
    transport.write(b"next")
    await asyncio.sleep(0)

    assert wire.seen == [b"head body", b"next"]


async def test_nothing_is_lost_by_closing():
    wire, transport = opened()
    transport.write(b"last words")
    transport.close()
    await asyncio.sleep(0)

    assert wire.seen == [b"last words", "closed"]
    assert transport.is_closing()


class Half(Wire):
    """One that can end its own side."""

    def can_write_eof(self):
        return True

    def write_eof(self):
        self.seen.append("ended")


async def test_who_is_still_sending_can_read_why_it_was_refused():
    wire = Half()
    transport = OneWrite(wire, asyncio.get_running_loop())
    transport.unread = True
    transport.write(b"no")
    transport.close()

    assert wire.seen == [b"no", "ended"]
    assert transport.is_closing()
    transport.close()
    assert wire.seen[-1] == "closed"
