"""A build context for any engine: a Containerfile, PRISM's own wheels, the lock, the model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from packaging.utils import canonicalize_name

from prism_core.cli.exporting.alone import PORT, ROOT, USER, Alone
from prism_core.environments.wheels import installed, repack

BASE = "docker.io/library/python:{minor}-slim"
FILE = "Containerfile"


def write_context(alone: Alone, artifact: Path, directory: Path) -> None:
    """Write a build context into ``directory``, which is made.

    ``artifact`` is moved there. PRISM's own distributions are taken from what is installed here.
    """
    directory.mkdir(parents=True, exist_ok=True)
    write_files(alone, artifact, directory / "prism")
    (directory / "wheels").mkdir()
    for name in alone.distributions:
        made = repack(installed(name), directory / ".wheels")
        shutil.move(made.path, directory / "wheels" / made.path.name)
    shutil.rmtree(directory / ".wheels", ignore_errors=True)
    (directory / "requirements.txt").write_text(lock_of(alone))
    (directory / FILE).write_text(text_of(alone))


def write_files(alone: Alone, artifact: Path, directory: Path) -> None:
    """Write what lies in the image's `ROOT` into ``directory``; the artifact is moved there."""
    directory.mkdir()
    for name, content in alone.files.items():
        (directory / name).write_bytes(content)
    shutil.move(artifact, directory / "artifact")
    _open_to_all(directory)


def _open_to_all(directory: Path) -> None:
    """Let the image's own user read what was written as another."""
    for path in (directory, *directory.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def lock_of(alone: Alone) -> str:
    """Return every package that the version ran with, as pip reads it."""
    environment = alone.bundle.environment
    lines = [f"{canonicalize_name(one.name)}=={one.version}" for one in environment.lock]
    title = f"# What {alone.bundle.model}/{alone.bundle.version} ran with, on Python"
    return "\n".join([f"{title} {environment.python_version}", *sorted(lines)]) + "\n"


def text_of(alone: Alone) -> str:
    """Return the Containerfile."""
    minor = ".".join(alone.bundle.environment.python_version.split(".")[:2])
    lines = [
        f"# {alone.bundle.model}/{alone.bundle.version}, answering on port {PORT} without a PRISM server.",
        f"FROM {BASE.format(minor=minor)}",
        "COPY requirements.txt /tmp/requirements.txt",
        "COPY wheels /tmp/wheels",
        "# Everything is named exactly, and only wheels are taken: no code of a package runs in the build.",
        "RUN python -m pip install --no-cache-dir --disable-pip-version-check --no-deps \\",
        "    --only-binary :all: -r /tmp/requirements.txt /tmp/wheels/*.whl",
        f"COPY prism {ROOT}",
        *(f"ENV {name}={value}" for name, value in alone.variables.items()),
        *(f"LABEL {name}={_quoted(value)}" for name, value in alone.labels.items()),
        f"USER {USER}:{USER}",
        f"EXPOSE {PORT}",
        f"HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD {_command(alone.probe)}",
        f"ENTRYPOINT {_command(alone.arguments)}",
    ]
    return "\n".join(lines) + "\n"


def _command(arguments: Sequence[str]) -> str:
    return json.dumps(["python", *arguments])


def _quoted(value: str) -> str:
    return '"' + "".join(f"\\{c}" if c in '"\\$' else c for c in value if c.isprintable()) + '"'
