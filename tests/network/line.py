"""A long line between two places: every packet comes later, some never.

It does what `tc netem` does, where a kernel has none. ``python -m tests.network.line PLACE DEVICE PLACE
DEVICE DELAY_MS LOSS`` makes a tunnel device in each of the two places and carries packets between them
until it is ended. The kernel's own TCP sees the delay and the loss: slow starts and retransmissions are real.
"""

from __future__ import annotations

import fcntl
import heapq
import itertools
import os
import random
import select
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.network.places import Place

TUNSETIFF = 0x400454CA
IFF_TUN = 0x0001
IFF_NO_PI = 0x1000
MTU = 1500
# Packets taken from a device before what is due is looked at again.
AT_ONCE = 64


def device(place: Place, name: str) -> int:
    """Make a tunnel device in a place; return the descriptor that carries its packets."""
    with place.entered():
        descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return descriptor


def carry(ends: tuple[int, int], delay_s: float, loss: float) -> None:
    """Carry packets between two devices, each ``delay_s`` later, or not at all."""
    chance = random.Random(0)
    other = {ends[0]: ends[1], ends[1]: ends[0]}
    numbers = itertools.count()
    under_way: list[tuple[float, int, int, bytes]] = []
    while True:
        wait_s = max(0.0, under_way[0][0] - time.monotonic()) if under_way else None
        for end in select.select(ends, (), (), wait_s)[0]:
            for packet in packets(end):
                if chance.random() >= loss:
                    due = time.monotonic() + delay_s
                    heapq.heappush(under_way, (due, next(numbers), other[end], packet))
        while under_way and under_way[0][0] <= time.monotonic():
            *_, end, packet = heapq.heappop(under_way)
            deliver(end, packet)


def packets(end: int) -> Iterator[bytes]:
    """Take what waits at a device."""
    for _ in range(AT_ONCE):
        try:
            yield os.read(end, MTU)
        except BlockingIOError:
            return


def deliver(end: int, packet: bytes) -> None:
    """Let a packet arrive; what the device does not take is lost, as on a line."""
    try:
        os.write(end, packet)
    except OSError:
        pass  # the device is down


@contextmanager
def line(one: Place, name: str, other: Place, far_name: str, delay_ms: float, loss: float) -> Iterator[None]:
    """Lay a line between two places; each end is a device that has no address yet."""
    words = (one.name, name, other.name, far_name, str(delay_ms), str(loss))
    process = subprocess.Popen([sys.executable, "-m", __spec__.name, *words], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"laid\n", "the line could not be laid"
        yield
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


if __name__ == "__main__":
    at, called, there, called_there, delay, lost = sys.argv[1:]
    made = (device(Place(at), called), device(Place(there), called_there))
    print("laid", flush=True)
    carry(made, float(delay) / 1000, float(lost))
