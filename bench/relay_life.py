"""The life of a relay, for `bench.tunnels`: it is killed and comes back, and it has a thousand laptops."""

from __future__ import annotations

import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import attrs
import msgspec

from bench import processes
from bench.tunnel_ways import FACTOR, configured, train
from prism_tunnel.relay.clients import write_private
from prism_tunnel.relay.control import poke
from prism_tunnel.relay.joining import Join
from tests.network import peers
from tests.network.internet import DOMAIN, internet
from tests.network.peers import Laptop, Relay
from tests.network.places import Place
from tests.network.stranger import Visit, hammering

CALLS = 2000
# Between two kills: what has been up for so long is tried again at once (`gateway.upkeep.Patience`).
SETTLED_S = 10.5


def reconnect(directory: Path, kills: int) -> None:
    """Kill the relay again and again; print how soon a link worked after it was there again."""
    taken, sent = [], 0
    with ExitStack() as stack:
        net = stack.enter_context(internet())
        relay = stack.enter_context(peers.relay(net.relay, directory / "relay"))
        config = configured(train(directory), relay.join("laptop"))
        laptop = stack.enter_context(Laptop(net.laptop, directory / "laptop", config=config))
        laptop.until_ready("small")
        link = laptop.share("small", FACTOR, "relay")
        with hammering(net.stranger, link, timeout=1, threads=1) as hammer:
            for _ in range(kills):
                hammer.answered(time.monotonic())
                time.sleep(SETTLED_S)
                relay.kill()
                time.sleep(random.uniform(0.1, 3))
                relay.start()
                taken.append(hammer.answered(time.monotonic()))
            sent = len(hammer.fates)
    if hammer.wrong:
        raise SystemExit(f"wrong answers: {hammer.wrong}")
    print(f"{kills} kills, {sent:,} requests, none answered wrongly")
    median_s, worst_s = statistics.median(taken), max(taken)
    print(f"from the relay's return to the next answer: median {median_s:.2f} s, worst {worst_s:.2f} s")


def thousand(directory: Path, count: int) -> None:
    """Bring up many laptops on one relay; print what they cost, and ask them."""
    with ExitStack() as stack:
        net = stack.enter_context(internet())
        relay = stack.enter_context(peers.relay(net.relay, directory / "relay"))
        joins = let_in(relay, count)
        begun_mb = memory_mb(relay)
        took_s = stack.enter_context(laptops(net.laptop, joins))
        grown_mb = memory_mb(relay) - begun_mb
        each_kb = grown_mb * 1024 / count
        print(f"{count} laptops up in {took_s:.1f} s")
        print(f"the relay had {begun_mb:.0f} MB, and {each_kb:.0f} KB more for each")
        chance, numbers = random.Random(0), range(1, count + 1)
        for what, asked in {
            "each once": numbers,
            "a random one": chance.choices(numbers, k=CALLS),
            "one alone": [1] * CALLS,
        }.items():
            print(f"{what}, over a new connection: {told([ask(net.stranger, number) for number in asked])}")
        print(f"all answered rightly; the relay has {memory_mb(relay):.0f} MB now")


def let_in(relay: Relay, count: int) -> list[str]:
    """Let so many laptops in, as `prism relay token create` does; return what they join with."""
    first = Join.parse(relay.join("n1"))
    file = relay.directory / "relay" / "clients.json"
    (one,) = msgspec.json.decode(file.read_bytes())
    found = [one | {"name": f"n{n}", "names": [f"n{n}"]} for n in range(1, count + 1)]
    write_private(file, msgspec.json.encode(found))
    poke(relay.directory / "relay" / "control.sock")
    return [str(attrs.evolve(first, client=f"n{n}")) for n in range(1, count + 1)]


@contextmanager
def laptops(place: Place, joins: list[str]) -> Iterator[float]:
    """Run `bench.laptops`; give the seconds that they took."""
    command = [*place.prefix, sys.executable, "-m", "bench.laptops"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("".join(f"{join}\n" for join in joins) + "\n")
    process.stdin.flush()
    yield float(process.stdout.readline())
    process.stdin.close()
    process.wait()


def ask(place: Place, number: int) -> float:
    """Return the seconds of one request to a laptop over a new connection; it multiplies by its number."""
    visit = Visit(place, f"http://n{number}.{DOMAIN}/")
    begun = time.perf_counter()
    found = visit.ask("POST", "/", b'{"input": [[8]]}', {"Content-Type": "application/json"})
    took_s = time.perf_counter() - begun
    visit.close()
    if found.status != 200 or found.json() != {"predictions": [8 * number]}:
        raise SystemExit(f"laptop {number}: {found}")
    return took_s


def told(seconds: list[float]) -> str:
    """Return times in words."""
    ordered = sorted(1000 * one for one in seconds)
    return f"p50 {statistics.median(ordered):.2f} ms, p99 {ordered[int(len(ordered) * 0.99)]:.2f} ms"


def memory_mb(relay: Relay) -> float:
    """Return what a relay's process has."""
    return processes.pss_mb(processes.own(relay.pid, "-"))
