"""Lives and deaths, with real processes: the relay, the laptop, and OpenSSH's client as one."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time

import attrs
import pytest

from prism_core.plugin import PublicListener, TunnelFailed, TunnelRefused
from prism_tunnel.relay.joining import Join
from prism_tunnel.relay.linker import RelayLinker

# A laptop without its server: publishes a port until its input ends.
LAPTOP = """
import asyncio, sys
from prism_core.plugin import PublicListener
from prism_tunnel.relay.joining import Join
from prism_tunnel.relay.linker import RelayLinker

async def main(join, port):
    linker = RelayLinker(Join.parse(join), "ann")
    print(await linker.publish(PublicListener("127.0.0.1", int(port))), flush=True)
    print(await linker.broken(), flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


@contextlib.contextmanager
def process(*words, **options):
    """Run a program; it is killed at the end if it still runs."""
    found = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, **options)
    try:
        yield found
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(found.pid, signal.SIGCONT)
        found.kill()
        found.wait()
        found.stdout.close()


@contextlib.contextmanager
def laptop(join, port):
    """Publish a port from a process of its own; yield it when the name is published."""
    with process(sys.executable, "-c", LAPTOP, str(join), str(port)) as found:
        assert found.stdout.readline().startswith("http://ann.")
        yield found


async def laptop_of(stack, join, port):
    return await asyncio.to_thread(stack.enter_context, laptop(join, port))


async def test_a_killed_laptop_is_away_at_once(relay, echo):
    join = relay.join("ann")
    with contextlib.ExitStack() as stack:
        found = await laptop_of(stack, join, echo)
        before, _, _ = await relay.ask()
        found.kill()
        await relay.settled(lambda: not len(relay.hall.table))
        after, _, _ = await relay.ask()

    assert (before, after) == (200, 503)


async def test_a_laptop_that_comes_again_takes_its_name_at_once(relay, echo):
    """Its old connection is frozen, as after a change of network: the relay cannot know that it is dead."""
    linker = RelayLinker(relay.join("ann"), "ann")
    await linker.publish(PublicListener("127.0.0.1", echo))
    old = relay.hall.table.find("ann").publisher
    kept, linker._stack = linker._stack, contextlib.AsyncExitStack()  # it stays open

    start = time.monotonic()
    await linker.publish(PublicListener("127.0.0.1", echo))
    took = time.monotonic() - start

    assert took < 1.5  # else the old one was asked whether it lives
    assert relay.hall.table.find("ann").publisher is not old
    assert (await relay.ask())[0] == 200
    await kept.aclose()
    assert (await relay.ask())[0] == 200
    await linker.withdraw()


async def test_another_laptop_takes_the_name_of_one_that_is_dead(relay, echo):
    join = relay.join("ann")
    with contextlib.ExitStack() as stack:
        found = await laptop_of(stack, join, echo)
        os.kill(found.pid, signal.SIGSTOP)
        linker = RelayLinker(join, "ann")
        await linker.publish(PublicListener("127.0.0.1", echo))
        status, _, _ = await relay.ask()
        await linker.withdraw()

    assert status == 200


async def test_another_laptop_does_not_take_the_name_of_one_that_lives(relay, echo):
    join = relay.join("ann")
    with contextlib.ExitStack() as stack:
        found = await laptop_of(stack, join, echo)
        with pytest.raises(TunnelRefused, match="in use by another connection of this client"):
            await RelayLinker(join, "ann").publish(PublicListener("127.0.0.1", echo))

        assert (await relay.ask())[0] == 200
        assert found.poll() is None


async def test_a_name_that_another_client_has_stays_its(relay, echo):
    async with relay.published(echo, names=("ann", "shared")) as linker:
        shared = RelayLinker(relay.join("bob", names=("bob", "ann")), "ann")
        with pytest.raises(TunnelRefused, match="in use by another client"):
            await shared.publish(PublicListener("127.0.0.1", echo))

        assert await linker.health() == ""


async def test_who_is_in_the_middle_of_an_answer_gets_an_error_when_the_name_is_taken_over(relay, echo):
    """Never the answer of another connection."""
    asked, never = asyncio.Event(), asyncio.Event()

    async def silent(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await never.wait()

    async with relay.serving(silent) as port:
        linker = RelayLinker(relay.join("ann"), "ann")
        await linker.publish(PublicListener("127.0.0.1", port))
        kept, linker._stack = linker._stack, contextlib.AsyncExitStack()
        waiting = asyncio.create_task(relay.ask())
        await asyncio.wait_for(asked.wait(), 20)
        await linker.publish(PublicListener("127.0.0.1", echo))
        status, _, _ = await waiting
        again, _, _ = await relay.ask()
        await linker.withdraw()
        await kept.aclose()

    assert (status, again) == (502, 200)


async def test_a_name_that_is_withdrawn_is_away_and_can_be_had_again(relay, echo):
    linker = RelayLinker(relay.join("ann"), "ann")
    for _ in range(3):
        await linker.publish(PublicListener("127.0.0.1", echo))
        assert (await relay.ask())[0] == 200
        await linker.withdraw()
        await relay.settled(lambda: not len(relay.hall.table))
        assert (await relay.ask())[0] == 503


# The relay as a process.


@attrs.define
class Served:
    """``prism relay serve``, and what it printed."""

    process: subprocess.Popen
    facts: dict

    def ask(self, name="ann", path="/"):
        with socket.create_connection(("127.0.0.1", self.facts["http_port"]), 10) as visitor:
            visitor.sendall(
                f"GET {path} HTTP/1.1\r\nHost: {name}.links.test\r\nConnection: close\r\n\r\n".encode()
            )
            said = b""
            while piece := visitor.recv(65536):
                said += piece
        return said


@contextlib.contextmanager
def served(directory, *flags, ports=("0", "0")):
    words = [
        sys.executable,
        "-m",
        "prism_core.cli",
        "relay",
        "serve",
        "--domain",
        "links.test",
        "--host",
        "127.0.0.1",
    ]
    words += ["--ssh-port", ports[0], "--http-port", ports[1], "--json", "--data-dir", str(directory), *flags]
    with process(*words, stderr=subprocess.PIPE) as found:
        line = found.stdout.readline()
        assert line, found.stderr.read()
        yield Served(found, json.loads(line))
        found.kill()
        found.stderr.close()


def prism(directory, *words):
    """Run ``prism relay ...`` in this process; return what it prints as JSON."""
    from click.testing import CliRunner

    from prism_core.cli.app import app

    result = CliRunner().invoke(app, ["relay", *words, "--json", "--data-dir", str(directory)])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


async def test_a_relay_that_is_killed_is_noticed_and_found_again(tmp_path, echo):
    with contextlib.ExitStack() as stack:
        relay = await asyncio.to_thread(stack.enter_context, served(tmp_path))
        join = await asyncio.to_thread(prism, tmp_path, "token", "create", "ann", "--host", "127.0.0.1")
        linker = RelayLinker(Join.parse(join["join"]), "ann")
        await linker.publish(PublicListener("127.0.0.1", echo))
        relay.process.kill()
        reason = await asyncio.wait_for(linker.broken(), 5)
        with pytest.raises(TunnelFailed):
            await linker.publish(PublicListener("127.0.0.1", echo))
        ports = str(relay.facts["ssh_port"]), str(relay.facts["http_port"])
        again = await asyncio.to_thread(stack.enter_context, served(tmp_path, ports=ports))
        await linker.publish(PublicListener("127.0.0.1", echo))
        said = await asyncio.to_thread(again.ask)
        await linker.withdraw()

    assert reason
    assert said.startswith(b"HTTP/1.1 200 ")
    assert again.facts["fingerprint"] == relay.facts["fingerprint"]


def test_visitors_may_be_listened_for_elsewhere(tmp_path):
    """Where a proxy stands before the relay, it alone is to reach the port."""
    with served(tmp_path, "--http-host", "127.0.0.2") as relay:
        with socket.create_connection(("127.0.0.2", relay.facts["http_port"]), 10):
            pass
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", relay.facts["http_port"]), 10)


async def test_a_relay_that_is_told_to_stop_lets_answers_end(tmp_path, serving):
    """New visitors are turned away meanwhile, and laptops told."""
    asked, go = asyncio.Event(), asyncio.Event()

    async def slow(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await go.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")

    async with serving(slow) as port:
        with contextlib.ExitStack() as stack:
            relay = await asyncio.to_thread(stack.enter_context, served(tmp_path))
            join = await asyncio.to_thread(prism, tmp_path, "token", "create", "ann", "--host", "127.0.0.1")
            linker = RelayLinker(Join.parse(join["join"]), "ann")
            await linker.publish(PublicListener("127.0.0.1", port))
            waiting = asyncio.create_task(asyncio.to_thread(relay.ask))
            await asyncio.wait_for(asked.wait(), 20)
            relay.process.terminate()
            go.set()
            said = await waiting
            reason = await asyncio.wait_for(linker.broken(), 20)
            code = await asyncio.to_thread(relay.process.wait, 10)

    assert said.endswith(b"done")
    assert "stopped" in reason
    assert code == 0
