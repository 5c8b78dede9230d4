"""The stage itself: a NAT that translates, a line that delays, names that are found, nothing that is left."""

from __future__ import annotations

import os
import socket
import subprocess
import time

import pytest

from tests.network.internet import DOMAIN, LAPTOP, RELAY, internet
from tests.network.places import Place, left_over, making, remove_leftovers


def listen(place: Place, address: str) -> socket.socket:
    with place.entered():
        return socket.create_server((address, 8000))


def connect(place: Place, address: str, timeout: float = 5.0) -> socket.socket:
    with place.entered():
        return socket.create_connection((address, 8000), timeout)


def test_a_laptop_is_seen_by_its_routers_address(net):
    with listen(net.relay, RELAY) as server, connect(net.laptop, RELAY):
        connection, seen = server.accept()
        connection.close()

    assert seen[0] == net.homes[0].address


def test_nobody_reaches_a_laptop_from_outside(net):
    with listen(net.laptop, LAPTOP), pytest.raises(OSError, match=r"timed out|unreachable"):
        connect(net.stranger, LAPTOP, 0.3)
    with listen(net.laptop, LAPTOP), pytest.raises(OSError, match=r"refused|timed out"):
        connect(net.stranger, net.homes[0].address, 0.3)


def test_names_are_found(net):
    found = net.laptop.run("getent", "ahostsv4", f"anything.{DOMAIN}").stdout

    assert found.split()[0] == RELAY
    assert net.laptop.run("getent", "hosts", "elsewhere.example.com", check=False).returncode


@pytest.mark.parametrize("way", ["cut", "leave", "forget"])
def test_a_connection_dies_in_silence(net, way):
    home = net.homes[0]
    with listen(net.relay, RELAY) as server, connect(net.laptop, RELAY) as ours:
        theirs, _ = server.accept()
        with theirs:
            theirs.settimeout(0.3)
            getattr(home, way)()
            ours.send(b"anybody?")
            with pytest.raises(TimeoutError):
                theirs.recv(8)
            {"cut": home.mend, "leave": home.join, "forget": lambda: None}[way]()
    with listen(net.relay, RELAY), connect(net.laptop, RELAY) as again:
        assert again.getpeername() == (RELAY, 8000)


def test_a_long_line_delays(places):
    with internet(delay_ms=100) as net, listen(net.relay, RELAY):
        begun = time.monotonic()
        connect(net.laptop, RELAY).close()

        assert time.monotonic() - begun > 0.2


def test_a_bad_line_loses_packets(places):
    with internet(delay_ms=1, loss=0.2) as net:
        with net.relay.entered():
            there = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with net.laptop.entered():
            here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with there, here:
            there.bind((RELAY, 8000))
            there.settimeout(0.2)
            arrived = 0
            for _ in range(5):
                for _ in range(200):
                    here.sendto(b"x", (RELAY, 8000))
                arrived += sum(1 for _ in iter(lambda: receive(there), b""))

    assert 650 < arrived < 950


def receive(there: socket.socket) -> bytes:
    try:
        return there.recv(8)
    except TimeoutError:
        return b""


def test_what_a_killed_run_left_is_removed(places):
    ended = subprocess.run(["sh", "-c", "echo $$"], capture_output=True, text=True, check=True).stdout.strip()
    left = f"prismnet-{ended}-1-laptop"
    subprocess.run(["ip", "netns", "add", left], check=True)
    sleeper = subprocess.Popen(["ip", "netns", "exec", left, "sleep", "60"])
    with making("mine") as (mine,):
        remove_leftovers()

        names = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
        assert left not in names
        assert mine.name in names
    assert sleeper.wait(10)


def test_only_the_places_of_ended_runs_are_left_over():
    lines = [
        "cni-1 (id: 3)",
        "prismnet-x-1-laptop",
        f"prismnet-{os.getpid()}-1-hub",
        "prismnet-99999999-1-hub (id: 1)",
    ]

    assert list(left_over(lines)) == ["prismnet-99999999-1-hub"]
