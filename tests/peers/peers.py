"""Programs of others in tests: each has an environment of its own, for it wants other releases than PRISM.

`python` is the interpreter of one. A `Client` is a script that runs there: its functions are called
from a test, with what JSON can say, so that a test reads as one and the imports are paid for once:

    with Client("tritonclient", HERE / "client.py") as client:
        assert client.double(value=2) == 4
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

from bench import environments

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".cache" / "peers"
SPEAK = HERE / "speak.py"
ANSWER_S = 60.0


def python(peer: str) -> Path:
    """Return the interpreter of a peer's environment, which is made at the first call and then kept.

    The packages are those of ``requirements.txt`` in `tests/peers/NAME`, or in `bench/peers/NAME`.
    """
    own = HERE / peer / "requirements.txt"
    requirements = own if own.exists() else environments.requirements_of(peer)
    environments.make(CACHE / peer, requirements, environments.interpreter(peer))
    return CACHE / peer / "bin" / "python"


class Failed(Exception):
    """A function of a client's script raised; the message is its traceback."""


class Client:
    """A script in a peer's environment; its functions are attributes, called with keywords."""

    def __init__(self, peer: str, script: Path) -> None:
        self.command = [str(python(peer)), str(SPEAK), str(script)]

    def __enter__(self) -> Client:
        self.errors = tempfile.TemporaryFile("w+")
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self.errors}
        self.process = subprocess.Popen(self.command, env=environment(), text=True, **pipes)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()
        self.process.kill()
        self.process.wait()
        self.errors.close()

    def __getattr__(self, function: str) -> Any:
        return lambda **facts: self.call(function, facts)

    def call(self, function: str, facts: dict[str, Any]) -> Any:
        """Call a function of the script; return what it returned."""
        with contextlib.suppress(BrokenPipeError):  # it has ended: what it said is told below
            self.process.stdin.write(json.dumps([function, facts]) + "\n")
            self.process.stdin.flush()
        heard, _, _ = select.select([self.process.stdout], [], [], ANSWER_S)
        line = self.process.stdout.readline() if heard else ""
        assert line, f"{function} of {self.command[-1]} did not answer: {self.said()}"
        answer = json.loads(line)
        if "error" in answer:
            raise Failed(answer["error"])
        return answer["value"]

    def said(self) -> str:
        """Return what the script has written to its standard error."""
        self.errors.seek(0)
        return self.errors.read()


def environment() -> dict[str, str]:
    """Return the variables of a peer: those of the tests, but nothing that is meant for their own Python."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PRISM"))}
