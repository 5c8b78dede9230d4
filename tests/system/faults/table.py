"""What was seen as a table, and the page that shows the last one."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping
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


def table(seen: Mapping[str, Seen]) -> str:
    """Return all rows, with a line about where they were measured."""
    memory = psutil.virtual_memory().total / 2**30
    machine = (
        f"PRISM {__version__}, Python {platform.python_version()}, {platform.system()} {platform.release()}, "
        f"{psutil.cpu_count()} cores, {memory:.0f} GB"
    )
    head = "| fault | what the caller sees | what is lost | healthy again after |\n|---|---|---|---|\n"
    rows = "".join(f"{row(name, one)}\n" for name, one in seen.items())
    return f"\nMeasured with {machine}.\n\n{head}{rows}\n"


def publish(seen: Mapping[str, Seen]) -> None:
    """Put the table into the page."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}{table(seen)}{END}{after}")
