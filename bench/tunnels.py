"""What a link costs by each way that leads to it: ``python -m bench.tunnels paths``.

It plays on the small internet of ``tests/network``: a laptop behind NAT, a relay and a stranger, each in a
network namespace of this machine, so it needs root, and wrk. Every answer but wrk's is compared with the
model's; wrk counts what is no 200.

``paths``: one server shares the same models in its own network, by PRISM's relay, by SSH through OpenSSH's
sshd with the server's own client, and by OpenSSH's ``ssh -R`` beside; in turn, medians of the rounds.
``reconnect``: the relay is killed and started again while a stranger asks all the time.
``thousand``: a thousand laptops with a name each on one relay.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import attrs
import numpy as np

from bench.load import MARK, wrk
from bench.relay_life import reconnect, thousand
from bench.tunnel_ways import COLUMNS, FACTOR, Way, ways
from tests.network.places import Place
from tests.network.stranger import Shared, Visit

NPY = "application/x-npy"
# With as many columns 16 MB of numbers: long enough that their start does not count.
ROWS = 2000
CALLS = 400
LOAD_S = 2


class Caller:
    """One kept-alive connection of a link; every answer is compared with the model's."""

    def __init__(self, place: Place, link: Shared) -> None:
        self._link, self._path = link, urlsplit(link.predict_url).path
        self._visit = Visit(place, link.predict_url, timeout=60)

    def send(self, body: bytes, **headers: str) -> bytes:
        """Return the body of an answer that must be a 200."""
        told = {**self._link.headers, "Cache-Control": "no-store", **headers}
        found = self._visit.ask("POST", self._path, body, told)
        if found.status != 200:
            raise SystemExit(f"{self._link.predict_url}: {found}")
        return found.body

    def predict(self, value: float) -> float:
        """Return the seconds of one small prediction."""
        begun = time.perf_counter()
        answer = self.send(b'{"input": [[%r]]}' % value)
        took_s = time.perf_counter() - begun
        found = json.loads(answer)["predictions"][0]
        if not math.isclose(found, value * FACTOR, abs_tol=1e-9):
            raise SystemExit(f"{self._link.predict_url}: {found} for {value}")
        return took_s

    def close(self) -> None:
        """End the connection."""
        self._visit.close()


@attrs.define
class Found:
    """What was measured of one way, a value each round."""

    p50_us: list[float] = attrs.field(factory=list)
    p99_us: list[float] = attrs.field(factory=list)
    new_p50_us: list[float] = attrs.field(factory=list)
    rps: list[float] = attrs.field(factory=list)
    up_mb_s: list[float] = attrs.field(factory=list)
    down_mb_s: list[float] = attrs.field(factory=list)

    def add(self, way: Way, numbers: Path) -> None:
        """Measure one round."""
        taken = sorted(one_by_one(way))
        self.p50_us.append(statistics.median(taken) * 1e6)
        self.p99_us.append(taken[int(len(taken) * 0.99)] * 1e6)
        self.new_p50_us.append(loaded(way, numbers, 1, CLOSE="1")["p50_us"])
        found = loaded(way, numbers, 16)
        self.rps.append(found["requests"] / found["seconds"])
        self.up_mb_s.append(up(way))
        self.down_mb_s.append(down(way))


def one_by_one(way: Way) -> list[float]:
    """Return how long each of so many predictions took, after some that do not count."""
    with closing(Caller(way.place, way.links["small"])) as caller:
        for value in range(1, 50):
            caller.predict(value)
        return [caller.predict(value) for value in range(1, CALLS + 1)]


def loaded(way: Way, numbers: Path, connections: int, **told: str) -> dict[str, float]:
    """Load a link with wrk; no request may fail."""
    link = way.links["small"]
    told |= {"NO_STORE": "1", "TOKEN": link.token, "UNIQUE": "10000000"}
    found = wrk(link.predict_url, numbers, connections, LOAD_S, told, way.place.prefix)
    if found["errors"]:
        raise SystemExit(f"{link.predict_url}: {found['errors']:.0f} errors")
    return found


def up(way: Way) -> float:
    """Return the MB/s of a large body whose answer is small."""
    rows = np.ones((ROWS, COLUMNS))
    return throughput(way.place, way.links["wide"], rows, lambda found: np.allclose(found, FACTOR * COLUMNS))


def down(way: Way) -> float:
    """Return the MB/s of a large answer to a small body."""
    rows = np.arange(float(ROWS)).reshape(-1, 1)
    return throughput(way.place, way.links["tall"], rows, lambda found: np.allclose(found, rows * FACTOR))


def throughput(place: Place, link: Shared, rows: np.ndarray, right: Callable[[np.ndarray], bool]) -> float:
    """Return the MB/s of the best of three."""
    body = io.BytesIO()
    np.save(body, rows)
    best_s = math.inf
    with closing(Caller(place, link)) as caller:
        for _ in range(3):
            begun = time.perf_counter()
            answer = caller.send(body.getvalue(), **{"Content-Type": NPY, "Accept": NPY})
            best_s = min(best_s, time.perf_counter() - begun)
            if not right(np.load(io.BytesIO(answer))):
                raise SystemExit(f"{link.predict_url}: a wrong answer")
    return ROWS * COLUMNS * 8 / best_s / 1e6


def paths(directory: Path, rounds: int) -> None:
    """Measure all ways in turn, and print a line for each."""
    numbers = directory / "numbers.jsonl"
    numbers.write_text(json.dumps({"input": [[MARK]]}).replace(f'"{MARK}"', MARK))
    with ways(directory) as found:
        measured = {way.name: Found() for way in found}
        for _ in range(rounds):
            for way in found:
                measured[way.name].add(way, numbers)
    print("| way | p50 / p99 µs | new connection, p50 µs | req/s, 16 connections | up MB/s | down MB/s |")
    print("|---|--:|--:|--:|--:|--:|")
    for name, one in measured.items():
        p50, p99, new, rps, up_mb_s, down_mb_s = (statistics.median(v) for v in attrs.astuple(one))
        print(
            f"| {name} | {p50:.0f} / {p99:.0f} | {new:.0f} | {rps:,.0f} | {up_mb_s:.0f} | {down_mb_s:.0f} |"
        )


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["paths", "reconnect", "thousand"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--laptops", type=int, default=1000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-tunnels-") as name:
        directory = Path(name)
        match asked.what:
            case "paths":
                paths(directory, asked.rounds)
            case "reconnect":
                reconnect(directory, asked.kills)
            case _:
                thousand(directory, asked.laptops)


if __name__ == "__main__":
    main()
