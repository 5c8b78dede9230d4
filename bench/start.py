"""How long a replica takes from start to its first answer, and what it costs in memory.

    .venv/bin/python bench/start.py [--replicas 10] [--levels]

Prints one line a way of starting: the median over the replicas, after the first one. ``--levels``
compares the levels of the sandbox instead, in turn, so that all of them see the same machine.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from unittest.mock import patch

import joblib
import numpy as np
from sklearn.linear_model import LogisticRegression

from prism_core.isolation.process import ProcessConfig, open_processes
from prism_core.isolation.sandbox import Abilities
from prism_core.manifest import Manifest
from prism_core.plugins import load_plugins
from prism_core.protocols import Launcher, ReplicaSpec

BODY = b'{"input": [[1.0, 2.0, 3.0, 4.0]]}'
REQUEST = (
    b"POST /predict HTTP/1.1\r\nHost: replica\r\nConnection: close\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
)


def train(directory: Path) -> dict[str, Path]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 4))
    model = LogisticRegression().fit(x, x[:, 0] > 0)
    joblib.dump(model, directory / "model.pkl")
    found = {"sklearn": directory / "model.pkl"}
    try:
        from skl2onnx import to_onnx
    except ImportError:
        return found
    graph = to_onnx(model, x[:1].astype(np.float32), options={"zipmap": False})
    (directory / "model.onnx").write_bytes(graph.SerializeToString())
    return found | {"onnx": directory / "model.onnx"}


def specification(loader: str, artifact: Path, replica: str, sandbox: str = "best") -> ReplicaSpec:
    plugins = load_plugins(("sklearn", "onnx"), built_in=())
    warm, reference = plugins.loaders[loader].requires, plugins.plugins[loader].reference
    directory = artifact.parent / replica
    directory.mkdir(exist_ok=True)
    manifest = Manifest("bench", 1, loader, loader, artifact.name, "sha256:0", 0, 0.0)
    (directory / "manifest.json").write_bytes(manifest.to_json())
    return ReplicaSpec(
        replica,
        directory / "manifest.json",
        artifact,
        directory,
        (reference,),
        warm,
        "server",
        sys.executable,
        sandbox=sandbox,
    )


async def first_answer(launcher: Launcher, spec: ReplicaSpec) -> tuple[float, float]:
    """Return milliseconds from start to the first answer, and own memory in MB."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{spec.directory}/s")
        listener.listen()
        begun = time.perf_counter()
        handle = await launcher.start(spec, listener)
    reader, writer = await asyncio.open_unix_connection(f"{spec.directory}/s")
    writer.write(REQUEST)
    status = await reader.readline()
    taken_ms = (time.perf_counter() - begun) * 1000
    assert b" 200 " in status, status + await reader.read()
    writer.close()
    usage = await launcher.usage(handle)
    assert usage
    return taken_ms, usage.memory_bytes / 2**20


async def measure(loader: str, artifact: Path, zygote: bool, replicas: int) -> None:
    name = f"{loader}-{'zygote' if zygote else 'spawn'}"
    async with open_processes(ProcessConfig(zygote=zygote)) as launcher:
        specs = [specification(loader, artifact, f"{name}-{n}") for n in range(replicas + 1)]
        first, *others = [await first_answer(launcher, spec) for spec in specs]
    times, sizes = zip(*others, strict=True)
    print(
        f"{name:16} first {first[0]:7.1f} ms   then median {statistics.median(times):7.1f} ms"
        f" (max {max(times):.1f})   own memory {statistics.median(sizes):.1f} MB"
    )


async def compare_levels(loader: str, artifact: Path, replicas: int) -> None:
    """Start replicas at each level of the sandbox, one after the other and again."""
    forced = {
        "off": ("off", Abilities("", "")),
        "landlock": ("best", Abilities("not in this measurement", "")),
        "namespaces": ("best", Abilities("", "")),
    }
    found: dict[str, list[tuple[float, float]]] = {level: [] for level in forced}
    async with AsyncExitStack() as stack:
        launchers = {}
        for level, (_, abilities) in forced.items():
            with patch("prism_core.isolation.process.abilities", lambda found=abilities: found):
                launchers[level] = await stack.enter_async_context(open_processes(ProcessConfig()))
                spec = specification(loader, artifact, f"{loader}-{level}-first", forced[level][0])
                await first_answer(launchers[level], spec)
        for n in range(replicas):
            for level, (wish, _) in forced.items():
                spec = specification(loader, artifact, f"{loader}-{level}-{n}", wish)
                found[level].append(await first_answer(launchers[level], spec))
    for level, measured in found.items():
        times, sizes = zip(*measured, strict=True)
        print(
            f"{loader:8} {level:11} median {statistics.median(times):6.1f} ms, fastest {min(times):5.1f} ms"
            f"   own memory {statistics.median(sizes):.1f} MB"
        )


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--replicas", type=int, default=10)
    parser.add_argument("--levels", action="store_true", help="compare the levels of the sandbox")
    arguments = parser.parse_args()
    replicas = arguments.replicas
    with tempfile.TemporaryDirectory() as directory:
        if arguments.levels:
            for loader, artifact in train(Path(directory)).items():
                await compare_levels(loader, artifact, replicas)
            return
        for loader, artifact in train(Path(directory)).items():
            await measure(loader, artifact, zygote=True, replicas=replicas)
            await measure(loader, artifact, zygote=False, replicas=min(replicas, 3))


if __name__ == "__main__":
    asyncio.run(main())
