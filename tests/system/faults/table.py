"""What was seen as a table, and the page that shows the last one."""

from __future__ import annotations

import math
import platform
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import psutil

from prism_core import __version__
from tests.system.faults.scene import Seen

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "faults.md"
BEGIN, END = "<!-- table -->\n", "<!-- end of table -->\n"


def row(name: str, seen: Seen) -> str:
    """Return a row of the table."""
    return f"| {name} | {seen.caller} | {seen.lost} | {duration(seen.healthy_s)} |"


def duration(seconds: float) -> str:
    """Return a time in words: ``at once`` where nothing was ever otherwise."""
    if math.isnan(seconds):
        return "at once"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def table(rows: Iterable[str]) -> str:
    """Return all rows, with a line about where they were measured."""
    memory = psutil.virtual_memory().total / 2**30
    kernel = ".".join(platform.release().split(".")[:2])
    machine = (
        f"PRISM {__version__}, Python {platform.python_version()}, {platform.system()} {kernel}, "
        f"{psutil.cpu_count()} cores, {memory:.0f} GB"
    )
    head = "| fault | what the caller sees | what is lost | healthy again after |\n|---|---|---|---|\n"
    return f"\nMeasured with {machine}.\n\n{head}{''.join(rows)}\n"


def publish(seen: Mapping[str, Seen], order: Iterable[str]) -> None:
    """Put what was seen into the page; scenes that were not played keep their rows."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    old, _, after = rest.partition(END)
    rows = {found[1]: found[0] for found in re.finditer(r"^\| (.+?) \| .+\n", old, re.M)}
    rows |= {name: f"{row(name, one)}\n" for name, one in seen.items()}
    PAGE.write_text(f"{before}{BEGIN}{table(rows[name] for name in order if name in rows)}{END}{after}")
