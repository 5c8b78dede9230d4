"""What a server's processes cost: processor time and memory, read from ``/proc``.

A server's processes are those that descend from the one we started, and those that carry its
mark in their environment: daemons that have left the tree (Ray's) are counted too.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

MARK = "BENCH_SERVER"
TICKS = os.sysconf("SC_CLK_TCK")


def own(root: int, mark: str) -> dict[int, str]:
    """Return the server's processes: pid and part (see `part`)."""
    stats = dict(each_stat())
    wanted = {root} | {pid for pid in stats if marked(pid, mark)}
    grown = True
    while grown:
        children = {pid for pid, stat in stats.items() if int(stat[1]) in wanted} - wanted
        wanted |= children
        grown = bool(children)
    return {pid: part(pid) for pid in wanted if pid in stats}


def part(pid: int) -> str:
    """Name what a process is for: PRISM's replicas and the ceiling's second process are ``runtime``."""
    command = read(f"/proc/{pid}/comm") + read(f"/proc/{pid}/cmdline")
    return "runtime" if command.startswith("prism:") or "ceilings/back.py" in command else "gateway"


def cpu_s(processes: Mapping[int, str]) -> dict[str, float]:
    """Return the processor seconds that the processes have used so far, by part."""
    stats = dict(each_stat(processes))
    spent: Counter[str] = Counter()
    for pid, name in processes.items():
        if pid in stats:
            spent[name] += (int(stats[pid][11]) + int(stats[pid][12])) / TICKS
    return dict(spent)


def pss_mb(processes: Iterable[int]) -> float:
    """Return the resident memory of all processes; a shared page counts once."""
    lines = "".join(read(f"/proc/{pid}/smaps_rollup") for pid in processes).splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def each_stat(pids: Iterable[int] = ()) -> Iterable[tuple[int, list[str]]]:
    """Yield pid and the fields of ``/proc/PID/stat`` after the name: state, ppid, ..."""
    for pid in pids or (int(entry) for entry in os.listdir("/proc") if entry.isdigit()):
        if text := read(f"/proc/{pid}/stat"):
            yield pid, text.rpartition(")")[2].split()


def marked(pid: int, mark: str) -> bool:
    """Tell whether the process was started with our mark."""
    return f"{MARK}={mark}\0" in read(f"/proc/{pid}/environ") + "\0"


def read(path: str) -> str:
    """Return a file of ``/proc``; "" where the process has ended."""
    try:
        return Path(path).read_bytes().decode(errors="replace")
    except OSError:
        return ""
