"""Run the processes of followers: one a listener, started again when it ends.

A follower is a fresh interpreter, tied to this process's life as replicas are. While
there is none on a listener, somebody else has to accept there: connections that the
kernel has put into its backlog would wait for ever.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Protocol

import structlog

from prism_core.gateway.channel import Drain, Start, encode_start, leaders_end
from prism_core.gateway.followers import Followers, Member
from prism_core.gateway.restarts import RestartPolicy, exit_text

# The module of a follower's process. It stands above this package, which must not import it.
PROGRAM = "prism_core.rest.follow"
# How long the start waits for followers that do not accept yet.
START_S = 15.0
# What a follower may take to end, beyond the time that its calls in flight get.
END_S = 2.0

log = structlog.get_logger("prism.followers")


class Cover(Protocol):
    """Who accepts on a listener while no follower does."""

    def cover(self, listener: socket.socket) -> None:
        """Accept there."""

    def uncover(self, listener: socket.socket) -> None:
        """Accept no more there; what has been accepted is answered."""


class Keeper:
    """Keeps a follower running on one listener.

    Attributes
    ----------
    accepting
        Set when a follower accepted for the first time, or none ever will.
    ending
        To be set before the follower is told to drain: it is not started again.
    """

    def __init__(self, followers: Followers, listener: socket.socket, start: Start, cover: Cover) -> None:
        self.accepting = asyncio.Event()
        self.ending = asyncio.Event()
        self._followers = followers
        self._listener = listener
        self._start = start
        self._cover = cover
        self._policy = RestartPolicy()
        self._process: subprocess.Popen[bytes] | None = None

    async def run(self) -> None:
        """Keep one running until it has died too often."""
        deaths = 0
        while not self.ending.is_set():
            begun = time.monotonic()
            try:
                reason = exit_text(await self._live())
            except OSError as error:  # for the moment there may be no process or descriptor left
                reason = str(error)
            if self.ending.is_set():
                return
            deaths = self._policy.deaths(deaths, time.monotonic() - begun)
            delay_s = self._policy.delay_s(deaths, random.random())
            log.warning("follower.ended", reason=reason, deaths=deaths, again_in_s=delay_s)
            if delay_s is None:
                log.error("follower.given_up", hint="The other gateways serve its share.")
                self.accepting.set()
                return
            with suppress(TimeoutError):
                # Not `wait_for`: in Python 3.11 it loses a cancel that comes together with the event.
                async with asyncio.timeout(delay_s):
                    await self.ending.wait()

    def kill(self) -> None:
        """End the follower at once."""
        if self._process:
            self._process.kill()

    async def _live(self) -> int:
        """Run a follower from its start to its end; return its exit code."""
        ours, theirs = socket.socketpair()
        read_end, write_end = os.pipe()
        try:
            with theirs:
                self._process = process = self._launch(theirs.fileno(), read_end)
            await asyncio.to_thread(_feed, process, encode_start(self._start))
            await self._follow(process, ours)
            return await asyncio.to_thread(_ended, process)
        finally:
            ours.close()
            os.close(read_end)
            os.close(write_end)  # what has not ended by now ends with this

    def _launch(self, channel: int, life: int) -> subprocess.Popen[bytes]:
        numbers = (channel, self._listener.fileno(), life)
        names = ("--channel", "--listener", "--life")
        options = [word for pair in zip(names, map(str, numbers), strict=True) for word in pair]
        return subprocess.Popen(
            [sys.executable, "-P", "-m", PROGRAM, *options],
            stdin=subprocess.PIPE,
            pass_fds=numbers,
            start_new_session=True,  # Ctrl-C is the leader's; it lets its followers drain
        )

    async def _follow(self, process: subprocess.Popen[bytes], ours: socket.socket) -> None:
        member = Member(process.pid, process.kill)
        member.channel = await leaders_end(ours, partial(self._followers.hear, member))
        self._followers.join(member)
        if self.ending.is_set():
            member.channel.send(Drain())
        welcoming = asyncio.create_task(self._uncover_when(member))
        try:
            await member.channel.lost.wait()
        finally:
            welcoming.cancel()
            self._followers.leave(member)
            member.channel.close()
            if not self.ending.is_set() and member.accepting.is_set():
                self._cover.cover(self._listener)

    async def _uncover_when(self, member: Member) -> None:
        await member.accepting.wait()
        self._cover.uncover(self._listener)
        self.accepting.set()
        log.info("follower.accepting", pid=member.pid)


class Keepers:
    """The keepers of all followers. Made by `keeping`."""

    def __init__(self, followers: Followers, listeners: Sequence[socket.socket], start: Start) -> None:
        self._followers = followers
        self._listeners = listeners
        self._start = start
        self._running: dict[Keeper, asyncio.Task[None]] = {}

    async def start(self, cover: Cover) -> None:
        """Start the followers; return when all accept, or after `START_S`: those that do not are covered."""
        for listener in self._listeners:
            keeper = Keeper(self._followers, listener, self._start, cover)
            self._running[keeper] = asyncio.create_task(keeper.run())
        with suppress(TimeoutError):
            async with asyncio.timeout(START_S):
                await asyncio.gather(*(keeper.accepting.wait() for keeper in self._running))

    def drain(self) -> None:
        """Let the followers accept no more, answer and end; none is started again."""
        for keeper in self._running:
            keeper.ending.set()
        self._followers.drain()

    async def end(self, hurry: asyncio.Event) -> None:
        """Wait for their ends; kill those that take too long, or all once ``hurry`` is set."""
        hurried: asyncio.Future[Any] = asyncio.ensure_future(hurry.wait())
        ended: asyncio.Future[Any] = asyncio.gather(*self._running.values(), return_exceptions=True)
        limit_s = self._start.settings.limits.drain_s + END_S
        await asyncio.wait({ended, hurried}, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        for keeper in self._running:
            keeper.kill()
        await asyncio.gather(*self._running.values(), return_exceptions=True)


@asynccontextmanager
async def keeping(
    followers: Followers, listeners: Sequence[socket.socket], start: Start, hurry: asyncio.Event
) -> AsyncIterator[Keepers]:
    """Keep a follower running on each listener, once they are started; at the end they drain."""
    keepers = Keepers(followers, listeners, start)
    try:
        yield keepers
    finally:
        keepers.drain()
        await keepers.end(hurry)


def _feed(process: subprocess.Popen[bytes], data: bytes) -> None:
    assert process.stdin is not None
    with suppress(OSError), process.stdin as stdin:  # it may have ended before it could read
        stdin.write(data)


def _ended(process: subprocess.Popen[bytes]) -> int:
    """Return the exit code of a process that has closed its channel: it ends, or is ended."""
    try:
        return process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
