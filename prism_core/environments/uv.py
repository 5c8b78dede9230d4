"""Run uv, in a process group of its own that ends with whoever asked for it.

The user's own configuration of uv is respected: its variables, its ``uv.toml`` and its cache.
"""

from __future__ import annotations

import asyncio
import codecs
import fcntl
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress

import attrs

from prism_core.errors import EnvironmentFailed

# Of what uv says the end is kept; an explanation of a conflict is a few kilobytes.
KEPT_CHARACTERS = 200_000
# How long the processes of a killed group may take to be gone.
GONE_S = 5.0
# What would let uv work on something else than what it is told, beside the server's own settings.
_MISLEADING = ("VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH", "PYTHONHOME", "UV_PYTHON", "UV_SYSTEM_PYTHON")

Hear = Callable[[str], None]


@attrs.frozen
class Outcome:
    """How a run ended: its exit code, and what it said."""

    code: int
    said: str


def find_uv() -> str:
    """Return the path of uv: that of the server's environment, else the one on the PATH.

    Raises
    ------
    EnvironmentFailed
        If there is none.
    """
    try:
        from uv import find_uv_bin

        return str(find_uv_bin())
    except (ImportError, FileNotFoundError):
        found = shutil.which("uv")
    if found:
        return found
    raise EnvironmentFailed(
        "The model needs other packages than the server has, and uv, which would install them, is not here.",
        hint="Install it: `pip install uv`. Or use the server's own packages: --environment server.",
    )


def variables(inherited: Mapping[str, str]) -> dict[str, str]:
    """Return uv's variables: all but misleading ones, and the server's own, which may hold secrets."""
    kept = {k: v for k, v in inherited.items() if not k.startswith("PRISM_") and k not in _MISLEADING}
    return kept | {"NO_COLOR": "1"}


def _ignore(_: str) -> None:
    """Hear nothing."""


@attrs.frozen
class Uv:
    """uv, as it is run for environments.

    Parameters
    ----------
    path
        The program.
    limit_s
        How long one run may take.
    """

    path: str
    limit_s: float

    async def run(self, *arguments: str, hear: Hear = _ignore) -> Outcome:
        """Run it to its end; ``hear`` is told each line as it is said.

        Cancelled, nothing of it is left running.

        Raises
        ------
        EnvironmentFailed
            If it cannot be started, or takes longer than it may.
        """
        process, life = self._start(arguments)
        said = ""
        try:
            async with asyncio.timeout(self.limit_s):
                async for line in _lines(process):
                    hear(line.rstrip())
                    said = (said + line)[-KEPT_CHARACTERS:]
                return Outcome(await asyncio.to_thread(process.wait), said)
        except TimeoutError:
            raise EnvironmentFailed(
                f"The environment was not ready after {self.limit_s:g} s (environments.build_s).",
                hint="Is the index slow? What has been downloaded is kept: try again, or raise the limit.",
            ) from None
        finally:
            os.close(life)
            await _end(process)

    def _start(self, arguments: tuple[str, ...]) -> tuple[subprocess.Popen[bytes], int]:
        read_end, write_end = os.pipe()
        try:
            process = subprocess.Popen(
                [self.path, *arguments],
                cwd="/",  # uv takes settings from where it runs and from all that is above: nobody else's
                env=variables(os.environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=(read_end,),
                start_new_session=True,
            )
            _tie(process.pid, read_end)
        except OSError as error:
            os.close(write_end)
            raise EnvironmentFailed(f"uv cannot be started: {error.strerror}.") from error
        finally:
            os.close(read_end)
        return process, write_end


def _tie(group: int, read_end: int) -> None:
    """Let the kernel kill a process group when the pipe's other end is closed, as when the server dies."""
    if hasattr(fcntl, "F_SETSIG"):
        fcntl.fcntl(read_end, fcntl.F_SETOWN, -group)
        fcntl.fcntl(read_end, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(read_end, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)


async def _lines(process: subprocess.Popen[bytes]) -> AsyncIterator[str]:
    assert process.stderr is not None
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), process.stderr
    )
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    left = ""
    try:
        while chunk := await reader.read(65536):
            *whole, left = (left + decoder.decode(chunk)).splitlines(keepends=True) or [""]
            if left.endswith("\n"):
                whole, left = [*whole, left], ""
            for line in whole:
                yield line
        if left:
            yield left
    finally:
        transport.close()


async def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the process and its group, and wait until it is gone: nobody writes files then."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    await asyncio.to_thread(process.wait)
    with suppress(ProcessLookupError, PermissionError, TimeoutError):
        async with asyncio.timeout(GONE_S):
            while True:
                os.killpg(process.pid, 0)
                await asyncio.sleep(0.01)
