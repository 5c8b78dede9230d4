"""An open load: requests at a constant rate, their latency counted from when they were due.

A server that stalls is charged for all who would have asked meanwhile (no coordinated
omission). ``openload.c`` sends and notes; here it is compiled, started, and its notes are
counted.
"""

from __future__ import annotations

import resource
import struct
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import attrs

from bench.environments import CACHE

SOURCE = Path(__file__).with_name("openload.c")


@attrs.frozen
class Note:
    """What became of one request; ``status`` 0 is no answer. Microseconds from when it was due."""

    status: int
    answered_us: float
    sent_us: float
    retry_after: bool


def offer(
    url: str, bodies: Sequence[str], *, connections: int, rate: float, seconds: float
) -> dict[str, float]:
    """Load ``url`` and return the figures of `summary`, and the cores that the load itself took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = answered(url, rendered(url, bodies), connections=connections, rate=rate, seconds=seconds)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return summary(found, rate) | {"generator_cores": spent_s / seconds}


def answered(
    url: str, requests: Sequence[bytes], *, connections: int, rate: float, seconds: float
) -> list[Note]:
    """Send ``requests`` in turns to the server of ``url``; return what became of each."""
    parts = urlsplit(url)
    binary, file = program(), CACHE / "requests.bin"
    file.write_bytes(b"".join(struct.pack("<I", len(r)) + r for r in requests))
    command = [binary, str(parts.hostname), str(parts.port), file, str(connections), str(rate)]
    done = subprocess.run([*command, str(seconds)], check=True, capture_output=True, text=True)
    return notes(done.stdout.splitlines())


def program() -> Path:
    """Compile the load once for its source; with any C compiler, ``apt-get install gcc`` brings one."""
    binary = CACHE / "openload"
    if not binary.exists() or binary.stat().st_mtime < SOURCE.stat().st_mtime:
        CACHE.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cc", "-O2", "-Wall", "-o", binary, SOURCE], check=True)
    return binary


def rendered(url: str, bodies: Iterable[str]) -> list[bytes]:
    """Return the requests as they are sent."""
    parts = urlsplit(url)
    head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
    head += "Cache-Control: no-store\r\nContent-Length: "
    return [f"{head}{len(body.encode())}\r\n\r\n{body}".encode() for body in bodies]


def notes(lines: Iterable[str]) -> list[Note]:
    """Return the notes that the program printed."""
    found = []
    for line in lines:
        status, answered, sent, retry_after = line.split()
        found.append(Note(int(status), float(answered), float(sent), retry_after == "1"))
    return found


def summary(found: Sequence[Note], rate: float) -> dict[str, float]:
    """Return answers a second and their latencies; a rate counts until the last answer came."""
    ends = (number / rate + note.answered_us / 1e6 for number, note in enumerate(found))
    lasted_s = max(len(found) / rate, *ends)
    accepted = [note.answered_us / 1000 for note in found if note.status == 200]
    refused = [note.answered_us / 1000 for note in found if note.status == 503]
    return {
        "offered_rps": rate,
        "accepted_rps": len(accepted) / lasted_s,
        "refused_rps": len(refused) / lasted_s,
        "p50_ms": percentile(accepted, 50),
        "p99_ms": percentile(accepted, 99),
        "refused_p99_ms": percentile(refused, 99),
        "late_p99_ms": percentile([note.sent_us / 1000 for note in found], 99),
        "failed": len(found) - len(accepted) - len(refused),
        "without_retry_after": sum(note.status == 503 and not note.retry_after for note in found),
    }


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value that ``percent`` of the values do not exceed; 0.0 of none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
