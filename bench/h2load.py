"""Load HTTP/1.1 and gRPC alike: h2load, one program in C with one thread, sends a request over and over.

It takes a tenth of a core where the server answers 5,000 requests a second. It knows nothing of gRPC's
status, which comes in trailers: an answer without one has no data, so the bytes of all answers are counted.
"""

from __future__ import annotations

import re
import resource
import struct
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import attrs

from bench.openloop import percentile

WARM_UP_S = 1
# Before a message of gRPC: whether it is compressed, and its length.
MESSAGE = struct.Struct(">BI")
COUNTED = re.compile(r"requests: .* (\d+) done, (\d+) succeeded")
DATA = re.compile(r"headers .*\((\d+)\) data")


@attrs.frozen
class Request:
    """One request; ``grpc`` puts the prefix of a message before its body, and speaks HTTP/2."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    grpc: bool = False

    def data(self) -> bytes:
        """Return what is sent as the body."""
        return MESSAGE.pack(0, len(self.body)) + self.body if self.grpc else self.body


@attrs.frozen
class Load:
    """What became of a load; ``requests``, and the mean of ``answer_bytes``, are of its warm-up too."""

    rps: float
    p50_ms: float
    p99_ms: float
    errors: int
    answer_bytes: float
    requests: int
    generator_cores: float


def load(request: Request, connections: int, seconds: int, *, warm_up_s: int = WARM_UP_S) -> Load:
    """Send ``request`` on each of so many connections, again as soon as it is answered."""
    with tempfile.TemporaryDirectory(prefix="bench-h2load-") as directory:
        body, log = Path(directory) / "body", Path(directory) / "log"
        body.write_bytes(request.data())
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        words = command(request, body, log, connections, seconds, warm_up_s)
        done = subprocess.run(words, check=True, capture_output=True, text=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return summary(done.stdout, log.read_text().splitlines(), seconds, spent_s / (seconds + warm_up_s))


def command(
    request: Request, body: Path, log: Path, connections: int, seconds: int, warm_up_s: int
) -> Sequence[str | Path]:
    """Return the command line."""
    headers = [word for name, value in request.headers.items() for word in ("-H", f"{name}: {value}")]
    how = [] if request.grpc else ["--h1"]
    often = [f"-c{connections}", "-m1", "-t1", f"-D{seconds}", f"--warm-up-time={warm_up_s}"]
    return ["h2load", *how, *often, *headers, "-d", body, f"--log-file={log}", request.url]


def summary(said: str, lines: Iterable[str], seconds: int, generator_cores: float) -> Load:
    """Return the load of what h2load said, and of its log: start, status and microseconds of each request."""
    done, succeeded = map(int, found(COUNTED, said))
    (data,) = map(int, found(DATA, said))
    logged = [tuple(map(int, line.split())) for line in lines]
    ended = max((start + took for start, _, took in logged), default=0)
    times_ms = [took / 1000 for start, _, took in logged if start >= ended - seconds * 1_000_000]
    return Load(
        rps=done / seconds,
        p50_ms=percentile(times_ms, 50),
        p99_ms=percentile(times_ms, 99),
        errors=done - succeeded,
        answer_bytes=data / max(1, len(logged)),
        requests=len(logged),
        generator_cores=generator_cores,
    )


def found(pattern: re.Pattern[str], said: str) -> tuple[str, ...]:
    """Return the groups of what was said; h2load that failed says something else."""
    match = pattern.search(said)
    if match is None:
        raise ValueError(f"h2load said nothing of {pattern.pattern!r}:\n{said}")
    return match.groups()
