"""Who sends wrong tokens is in the audit log, and cannot fill it."""

import asyncio

from prism_core.gateway import refusals
from prism_core.gateway.refusals import Refusals


class Noting:
    """Takes entries."""

    def __init__(self):
        self.entries = []

    async def note(self, action, subject="", **facts):
        from prism_core.gateway.auditing import _actor

        self.entries.append((_actor.get().address, facts["requests"]))


async def turns():
    for _ in range(3):
        await asyncio.sleep(0)


async def test_the_first_of_an_address_is_written_and_the_rest_counted():
    audit = Noting()
    refused = Refusals(audit)
    for address in ("10.0.0.1", "10.0.0.1", "10.0.0.2", "10.0.0.1"):
        refused.add(address)
    await turns()
    assert audit.entries == [("10.0.0.1", 1), ("10.0.0.2", 1)]

    refused._release("10.0.0.1")
    refused._release("10.0.0.2")
    await turns()
    assert audit.entries[2:] == [("10.0.0.1", 2)]

    refused.add("10.0.0.1")
    await turns()
    assert audit.entries[3:] == [("10.0.0.1", 1)]


async def test_a_minute_has_an_end(monkeypatch):
    monkeypatch.setattr(refusals, "TOGETHER_S", 0.0)
    audit = Noting()
    refused = Refusals(audit)
    refused.add("10.0.0.1")
    refused.add("10.0.0.1")
    while len(audit.entries) < 2:
        await asyncio.sleep(0)

    assert audit.entries == [("10.0.0.1", 1), ("10.0.0.1", 1)]


async def test_many_addresses_are_one():
    audit = Noting()
    refused = Refusals(audit)
    for number in range(1000):
        refused.add(str(number))
    await turns()

    assert len(audit.entries) == refusals.ADDRESSES + 1
