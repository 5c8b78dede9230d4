"""``make demo``: train three models, serve them, upload, predict, share one by a link, stay up.

Everything lies in a temporary directory that is removed at the end. With ``DEMO_EXIT=1``
in the environment the demo stops by itself when it has shown everything, and an unattended
server stays on the loopback.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table
from train_models import Trained, train_all

PRISM = [sys.executable, "-m", "prism_core.cli"]
MEDIA_TYPES = {".json": "application/json", ".png": "image/png"}
STOP_S = 30
UNATTENDED = bool(os.environ.get("DEMO_EXIT"))

console = Console(highlight=False)


def main() -> None:
    """Show the whole road from a trained model to an answer."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory(prefix="prism-demo-") as name:
        directory = Path(name)
        with console.status("Training three models ..."):
            begun = time.perf_counter()
            models = train_all(directory)
        console.print(f"Trained three models in {time.perf_counter() - begun:.1f} s.")
        with server(directory / "data") as facts:
            console.print(f"Serving at {facts['public']} (admin: {facts['admin']}).\n")
            names = show(models, directory / "data")
            share(names[0], models[0].example, directory / "data")
            if not UNATTENDED:
                stay(directory / "data")
        console.print("Stopped; nothing is left behind.")


@contextmanager
def server(data_dir: Path) -> Iterator[dict[str, Any]]:
    """Run ``prism serve`` on free ports; yield what it says of itself when it is ready."""
    command = [*PRISM, "serve", "--port", "0", "--admin-port", "0", "--data-dir", str(data_dir), "--json"]
    if UNATTENDED:
        command += ["--host", "127.0.0.1"]
    log = (data_dir.parent / "server.log").open("wb")
    # A session of its own: Ctrl-C reaches the demo, which then stops the server.
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, start_new_session=True)
    assert process.stdout is not None
    with log, process.stdout:
        try:
            line = process.stdout.readline()
            if not line:
                sys.exit(f"prism serve did not start:\n{Path(log.name).read_text()}")
            yield json.loads(line)
        finally:
            process.terminate()
            process.wait(STOP_S)


def show(models: list[Trained], data_dir: Path) -> list[str]:
    """Upload every model, ask each, print what came back and how quickly; return the models' names."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("address", overflow="fold", style="bold")
    for heading in ("answer", "first", "again"):
        table.add_column(heading, justify="right", no_wrap=True)
    lines, names = [], []
    for model in models:
        with console.status(f"Uploading {model.artifact.name} ..."):
            version = upload(model, data_dir)
        answers, first_ms, again_ms = ask(version["url"], model.example)
        answer = ", ".join(map(str, answers))
        table.add_row(version["url"], answer, f"{first_ms:.1f} ms", f"{again_ms:.1f} ms")
        lines.append(curl(version["url"], model.example))
        names.append(version["model"])
    console.print(table)
    console.print("\nThe same by hand:\n")
    for line in lines:
        console.print(f"  {line}", soft_wrap=True, markup=False)
    return names


def share(name: str, example: Path, data_dir: Path) -> None:
    """Make a link to a model, ask through it as a stranger does, and tell it."""
    with console.status(f"Sharing {name} ..."):
        link = prism("share", name, "--expires", "1h", "--note", "From `make demo`.", data_dir=data_dir)
    ask(link["predict_url"], example, link["token"])
    console.print(f"\nA link to {name} for a friend, for an hour, which was just asked:\n")
    console.print(f"  [bold]{link['url']}[/bold]\n", soft_wrap=True)


def upload(model: Trained, data_dir: Path) -> dict[str, Any]:
    """Run ``prism upload`` and return what it prints."""
    options = [f"--option={key}={json.dumps(value)}" for key, value in model.options.items()]
    return prism("upload", str(model.artifact), *options, data_dir=data_dir)


def prism(*words: str, data_dir: Path) -> dict[str, Any]:
    """Run a command and return what it prints."""
    command = [*PRISM, *words, "--json", "--data-dir", str(data_dir)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        sys.exit(f"prism {' '.join(words)} failed with exit code {done.returncode}.")
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def ask(url: str, example: Path, token: str = "") -> tuple[list[Any], float, float]:
    """Return the predictions for an example, and the milliseconds of the first and of a later request.

    Neither comes from the cache: the model computes both.
    """
    headers = {"Content-Type": MEDIA_TYPES[example.suffix], "Cache-Control": "no-store"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    body = example.read_bytes()
    times_ms = []
    with httpx.Client(headers=headers, trust_env=False, timeout=30) as client:
        for _ in range(20):
            begun = time.perf_counter()
            response = client.post(url, content=body)
            times_ms.append((time.perf_counter() - begun) * 1000)
            if response.is_error:
                sys.exit(f"{url} answered {response.status_code}: {response.text}")
    return response.json()["predictions"], times_ms[0], times_ms[-1]


def curl(url: str, example: Path) -> str:
    """Return a line that asks the same in a shell."""
    header = f"-H 'Content-Type: {MEDIA_TYPES[example.suffix]}'"
    if example.suffix == ".json" and len(text := example.read_text()) < 200:
        return f"curl -X POST {url} {header} -d {shlex.quote(text)}"
    return f"curl -X POST {url} {header} --data-binary @{example}"


def stay(data_dir: Path) -> None:
    """Wait for Ctrl-C."""
    console.print(f"\n[bold]prism list --data-dir {data_dir}[/bold] and all other commands work too.")
    console.print("Up until Ctrl-C.")
    try:
        signal.pause()
    except KeyboardInterrupt:
        console.print("\nStopping ...")


if __name__ == "__main__":
    main()
