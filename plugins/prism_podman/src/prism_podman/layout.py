"""What of this machine a container sees, where, and under which names; paths of a spec, rewritten."""

from __future__ import annotations

import shutil
from pathlib import Path

import attrs

from prism_core.plugin import OPTIMIZE, ReplicaSpec

# Inside.
INSIDE = Path("/prism")
SPEC, MANIFEST, MODEL = INSIDE / "in/spec.json", INSIDE / "in/manifest.json", INSIDE / "model"
IPC, WORK = INSIDE / "ipc", INSIDE / "work"
SOCKET = "s"
PORT = 8000


@attrs.frozen
class Layout:
    """The directories of one container.

    Parameters
    ----------
    base
        A directory that only this user may enter: that is why what lies in it can be open to all,
        whatever numbers a container's users have.
    spec
        What the gateway asked for, with this machine's paths.
    """

    base: Path
    spec: ReplicaSpec

    @property
    def given(self) -> Path:
        """What the runtime reads: its spec and the manifest."""
        return self.base / "in"

    @property
    def ipc(self) -> Path:
        """Where the runtime makes its socket, or a file that says that its port can be connected to."""
        return self.base / "ipc"

    @property
    def socket(self) -> Path:
        """The socket; it, or the file instead of it, is there once the replica can be connected to."""
        return self.ipc / SOCKET

    @property
    def converts(self) -> bool:
        """Whether it converts a model instead of serving it."""
        return self.spec.task == OPTIMIZE

    @property
    def log(self) -> Path:
        """What it prints. Not where a conversion, which writes there, could replace it by a link."""
        return self.base / "log" if self.converts else self.spec.directory / "log"

    def mounts(self, tmp_bytes: int) -> list[dict[str, object]]:
        """Return what is mounted, as podman-py's ``create`` takes it."""
        found = [
            _bind(self.given, SPEC.parent, read_only=True),
            _bind(self.spec.artifact, MODEL, read_only=True, shared=True),
            _bind(self.ipc, IPC),
            {"type": "tmpfs", "target": "/tmp", "size": tmp_bytes, "mode": "1777"},
        ]
        if self.converts:
            found.append(_bind(self.spec.directory, WORK))
        return found

    def inside(self, sandbox: str) -> ReplicaSpec:
        """Return the spec as the runtime needs it: with the paths inside."""
        return attrs.evolve(
            self.spec,
            manifest=MANIFEST,
            artifact=MODEL,
            directory=WORK if self.converts else Path("/tmp"),
            python="python3",
            private=(),
            recipe=None,
            sandbox=sandbox,
        )

    def make(self, sandbox: str) -> None:
        """Make the directories and write what the runtime reads."""
        self.remove()  # what a server that was killed left there
        self.base.mkdir(mode=0o700, parents=True)
        self.given.mkdir()
        self.given.chmod(0o755)
        self.ipc.mkdir()
        self.ipc.chmod(0o777)
        if self.converts:
            self.spec.directory.chmod(0o777)
        _write(self.given / SPEC.name, self.inside(sandbox).to_json())
        _write(self.given / MANIFEST.name, self.spec.manifest.read_bytes())

    def remove(self) -> None:
        """Remove the directories."""
        shutil.rmtree(self.base, ignore_errors=True)


def _bind(source: Path, target: Path, *, read_only: bool = False, shared: bool = False) -> dict[str, object]:
    # `relabel` is for SELinux, and nothing elsewhere: without it a container may not read what is mounted.
    return {
        "type": "bind",
        "source": str(source),
        "target": str(target),
        "read_only": read_only,
        "relabel": "z" if shared else "Z",
    }


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    path.chmod(0o644)
