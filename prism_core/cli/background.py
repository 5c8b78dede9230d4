"""A server without a terminal: started by ``prism share --detach``, stopped by ``prism serve --stop``.

What it has to say goes into ``server.log`` in the data directory.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from prism_core.cli.client import admin, running_server
from prism_core.cli.options import Common
from prism_core.errors import ConfigError, PrismError

LOG = "server.log"
# What was written before is kept until it is this long; then it is put aside as server.log.1.
MAX_LOG_BYTES = 10 * 1024 * 1024
# A first start compiles Python and reads a registry; then the drain of `limits.drain_s`, twice.
START_S, STOP_S, LOOK_S = 120.0, 60.0, 0.05
# How many of its last lines say why a server did not come up.
LAST_LINES = 12


def arguments(flags: Mapping[str, Any]) -> list[str]:
    """Return the options of ``prism serve`` that say what ``flags`` do."""
    words = []
    for name, value in flags.items():
        option = f"--{'tls' if name == 'tls_mode' else name.replace('_', '-')}"
        if value is True:
            words.append(option)
        elif value is not None and value is not False:
            words.append(f"{option}={value}")
    return words


def start(data_dir: Path, options: Iterable[str]) -> dict[str, Any]:
    """Start ``prism serve`` for ``data_dir`` so that it outlives the terminal; return what it says of itself.

    Raises
    ------
    PrismError
        If it does not come up; with the end of its log.
    """
    command = [sys.executable, "-m", "prism_core.cli", "serve", *options, f"--data-dir={data_dir}", "--json"]
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    told = _stamp(data_dir)
    with _log(data_dir / LOG) as log:
        begun = log.tell()
        # A session of its own: neither Ctrl-C nor the end of the terminal reaches it.
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    return _ready(process, data_dir, told, begun)


def _stamp(data_dir: Path) -> tuple[int, int]:
    """Return what tells the file in which a server says where it is from that of an earlier one."""
    try:
        found = (data_dir / "server.json").stat()
    except OSError:
        return 0, 0
    return found.st_ino, found.st_mtime_ns


def _log(path: Path) -> Any:
    if path.exists() and path.stat().st_size > MAX_LOG_BYTES:
        path.replace(path.with_name(f"{LOG}.1"))
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab")


def _ready(
    process: subprocess.Popen[bytes], data_dir: Path, told: tuple[int, int], begun: int
) -> dict[str, Any]:
    ends = time.monotonic() + START_S
    while time.monotonic() < ends:
        ended = process.poll() is not None
        # Another's is as good: where two start for one directory at the same time, one of them loses.
        if _stamp(data_dir) != told and (facts := running_server(data_dir)):
            return facts
        if ended:
            raise _failed(f"The server ended with exit code {process.returncode}.", data_dir, begun)
        time.sleep(LOOK_S)
    process.terminate()
    raise _failed(f"The server was not ready after {START_S:.0f} s.", data_dir, begun)


def _failed(message: str, data_dir: Path, begun: int) -> PrismError:
    with (data_dir / LOG).open("rb") as log:
        log.seek(begun)
        lines = log.read().decode(errors="replace").splitlines()
    return PrismError(message, hint=f"Its log: {data_dir / LOG}", details={"log": lines[-LAST_LINES:]})


def stop(common: Common) -> dict[str, Any]:
    """Stop the server that the options mean and wait until it has ended; return what it was.

    Raises
    ------
    ServerNotFound
        If none runs.
    """
    import psutil

    if common.server:
        raise ConfigError(
            "--stop is for a server of this machine.", hint="Leave --server and PRISM_SERVER away."
        )
    with admin(common) as client:
        found = client.server()  # a number in a file may be another program's by now: the server says its own
    process = psutil.Process(found["pid"])
    process.terminate()
    try:
        process.wait(STOP_S)
    except psutil.TimeoutExpired as error:
        raise PrismError(
            f"The server has not ended after {STOP_S:.0f} s.",
            hint=f"`kill -9 {found['pid']}` ends it at once.",
        ) from error
    return found
