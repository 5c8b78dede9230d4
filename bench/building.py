"""What environments cost: to build, on disk, and an upload that needs none.

    .venv/bin/python bench/building.py

Builds environments for scikit-learn pipelines from an empty cache of uv, then from one that has everything,
in a data directory of its own. Takes about a minute; the first build hangs on the network.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import structlog

from prism_core.environment import Environment, Requirement
from prism_core.environments.disk import size_bytes
from prism_core.environments.environments import Environments
from prism_core.environments.needs import Needs, needed
from prism_core.settings import EnvironmentSettings

DISTRIBUTIONS = ("prism-core", "prism-sklearn")
SATISFIED = needed([Requirement("scikit-learn", ">=1"), Requirement("numpy", ">=1"), Requirement("scipy")])


def asking(release: str) -> Needs:
    return needed([Requirement("scikit-learn", f"=={release}"), Requirement("numpy", "<2")])


async def built(environments: Environments, needs: Needs) -> tuple[Environment, float, float]:
    """Return an environment, and the seconds that resolving and building took."""
    begun = time.perf_counter()
    async with environments.chosen(needs, DISTRIBUTIONS) as choice:
        resolved = time.perf_counter()
        made = await environments.ready(choice.key, DISTRIBUTIONS)
    return made, resolved - begun, time.perf_counter() - resolved


async def chosen_ms(environments: Environments, needs: Needs, times: int = 200) -> float:
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        async with environments.chosen(needs, DISTRIBUTIONS):
            taken.append((time.perf_counter() - begun) * 1e3)
    return statistics.median(taken)


async def scene(base: Path) -> None:
    def fresh(name: str) -> Environments:
        return Environments(base / name, EnvironmentSettings())

    rows = [
        ("cold cache, the first", fresh("cold"), "1.3.2"),
        ("warm cache, the first", fresh("warm"), "1.3.2"),
    ]
    rows.append(("the second, another scikit-learn", rows[1][1], "1.5.2"))
    for label, environments, release in rows:
        made, resolve_s, build_s = await built(environments, asking(release))
        own, shared = (size / 1e6 for size in size_bytes(environments.disk.root(made.key)))
        told = f"resolve {resolve_s:.2f} s, build {build_s:.2f} s, own {own:.0f} MB, shared {shared:.0f} MB"
        print(f"{label}: {told}", flush=True)
    warm = rows[1][1]
    print(f"equal needs again: {await chosen_ms(warm, asking('1.3.2')):.2f} ms")
    print(f"the server has everything: {await chosen_ms(warm, SATISFIED):.2f} ms")
    begun = time.perf_counter()
    warm.disk.problem(made)
    print(f"looking whether one is whole: {(time.perf_counter() - begun) * 1e3:.0f} ms")


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    base = Path(tempfile.mkdtemp(prefix="prism-environments-"))
    os.environ["UV_CACHE_DIR"] = str(base / "cache")
    try:
        asyncio.run(scene(base))
    finally:
        shutil.rmtree(base)


if __name__ == "__main__":
    main()
