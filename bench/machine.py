"""What the numbers were measured on."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.servers import HERE

CPU = re.compile(r"model name\s*: (.*)")
MEMORY_KB = re.compile(r"MemTotal:\s*(\d+)")
PACKAGES = ("prism-core", "scikit-learn", "onnxruntime", "numpy", "uvicorn", "uvloop")


def facts() -> dict[str, str]:
    """Return date, commit, machine and the versions of our own environment."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit(),
        "cpu": f"{found(CPU, '/proc/cpuinfo')}, {os.cpu_count()} cores",
        "memory": f"{int(found(MEMORY_KB, '/proc/meminfo')) / 2**20:.0f} GB",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "wrk": said(["wrk", "-v"]).split(" [")[0].removeprefix("wrk "),
        **{name: version(name) for name in PACKAGES},
    }


def commit() -> str:
    """Return the commit, with a + where files that are measured differ from it."""
    short = said(["git", "rev-parse", "--short", "HEAD"]).strip()
    changed = said(["git", "status", "--porcelain", "--", "prism_core", "plugins", "bench/*.py"]).strip()
    return short + ("+" if changed else "")


def said(command: list[str]) -> str:
    """Return what a command prints, whatever its exit code."""
    done = subprocess.run(command, capture_output=True, text=True, cwd=HERE.parent)
    return done.stdout or done.stderr


def found(pattern: re.Pattern[str], path: str) -> str:
    """Return the first match in a file; "0" of none."""
    match = pattern.search(Path(path).read_text())
    return match[1] if match else "0"
