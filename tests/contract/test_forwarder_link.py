"""The contract of tunnels, tried with the one of our tests: it is honest, and so is the contract."""

from contextlib import asynccontextmanager

import pytest

from prism_core.testing import TunnelContract
from tests.integration.tunnels import Forwarder, Noticing


@asynccontextmanager
async def opened(forwarder):
    try:
        yield forwarder
    finally:
        await forwarder.close()


class TestForwarder(TunnelContract):
    ready_s = 10.0

    def open(self):
        return opened(Forwarder())

    async def lose(self, linker):
        linker.cut()


class TestNoticing(TestForwarder):
    def open(self):
        return opened(Noticing())


class Shown(Forwarder):
    async def publish(self, listener):
        return listener.url()


class Leaky(Forwarder):
    async def withdraw(self):
        """Leave it as it is."""


class Hasty(Forwarder):
    async def broken(self):
        return "It is gone."


class Greedy(Forwarder):
    """Passes nothing on before the end."""

    async def _pump(self, reader, writer):
        writer.write(await reader.read(-1))
        writer.write_eof()


@pytest.mark.parametrize(
    ("linker", "test"),
    [
        (Shown, "test_the_listener_is_not_shown"),
        (Leaky, "test_nothing_answers_what_was_withdrawn"),
        (Hasty, "test_it_says_that_it_was_withdrawn"),
        (Greedy, "test_what_is_sent_arrives_before_all_of_it_is_there"),
    ],
)
async def test_the_contract_finds(linker, test):
    contract = TestForwarder()
    contract.ready_s = 0.5
    contract.open = lambda: opened(linker())

    with pytest.raises((AssertionError, TimeoutError)):
        await getattr(contract, test)()
