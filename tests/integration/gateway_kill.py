"""Kill a gateway at every step of an upload and look at what is left. Prints one JSON line a step.

A process of its own, because it forks: ``python -m tests.integration.gateway_kill DIRECTORY``.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from collections import Counter
from pathlib import Path

from prism_core.audit import kept_head, opened, read, verify
from tests.integration.gateway_toys import predict, toy_gateway, upload


class KillAt:
    """Kills this process when it passes the checkpoint ``step`` for the time number ``turn``.

    By name and turn: the database's thread passes its checkpoints beside the upload's own, so
    the order of all of them together is not the same every time. ``note`` lists those passed.
    """

    def __init__(self, step: str, turn: int, note: Path):
        self.step, self.turn, self.note = step, turn, note
        self.passed: list[str] = []

    def __call__(self, step: str) -> None:
        self.passed.append(step)
        with self.note.open("a") as file:  # the process may end while a thread is here: nothing is rewritten
            file.write(f"{step}\n")
        if step == self.step and self.passed.count(step) == self.turn:
            os.kill(os.getpid(), signal.SIGKILL)


async def prepare(data: Path) -> None:
    async with toy_gateway(data) as gateway:
        await upload(gateway, "2", alias="champion")


async def second_upload(data: Path, checkpoint: KillAt) -> None:
    async with toy_gateway(data) as gateway:
        await gateway.settled.wait()
        await gateway.events.settle()
        gateway.operator.store._checkpoint = checkpoint
        gateway.operator.records._checkpoint = checkpoint
        uploads = type(gateway.uploads)(gateway.operator, gateway.audit, checkpoint)
        gateway.uploads = uploads
        await upload(gateway, "3", alias="champion")
        # What has been answered must be there, whatever happens next.
        os._exit(0)


async def look(data: Path) -> dict:
    """Open what is left, use it, and return what is there."""
    async with toy_gateway(data) as gateway:
        await gateway.settled.wait()
        versions = [v.version for v in gateway.model("m").versions]
        found = {
            "versions": versions,
            "aliases": gateway.model("m").aliases,
            "answers": [await predict(gateway, f"m/{n}", 1) for n in versions],
            "digests": sorted(v.digest.replace(":", "-") for v in gateway.model("m").versions),
            "artifacts": sorted(p.name for p in (data / "artifacts").iterdir()),
            "changes": [change.action for change in await gateway.traffic.routes.history("m")],
            "replicas": sorted(p.name for p in (data / "replicas").iterdir()),
        }
        report = verify(read(data), kept_head(data))
        entries = [opened(line.rstrip())[0] for line in read(data)]
        found["audit_fault"] = report.fault
        found["uploads"] = [entry.subject for entry in entries if entry.action == "model.upload"]
        again = await upload(gateway, "3")
        return found | {"again": again.version, "answer": await predict(gateway, "m", 1)}


def in_child(work) -> int:
    """Run a coroutine in a forked process; return its exit status."""
    pid = os.fork()
    if pid == 0:
        try:
            asyncio.run(work)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    work.close()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main(root: Path) -> None:
    """Let an upload get to its end, then kill one at every checkpoint that it passed."""
    assert in_child(prepare(root / "start")) == 0
    passed = attempt(root, "end", 0)
    for step, turns in Counter(passed).items():
        for turn in range(1, turns + 1):
            attempt(root, step, turn)


def attempt(root: Path, step: str, turn: int) -> list[str]:
    """Upload, killed at a checkpoint; print what is found afterwards; return the checkpoints passed."""
    data, note = root / f"{step}-{turn}", root / f"{step}-{turn}.passed"
    shutil.copytree(root / "start", data)
    code = in_child(second_upload(data, KillAt(step, turn, note)))
    print(json.dumps({"code": code, "step": step, **asyncio.run(look(data))}))
    return note.read_text().splitlines()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
