"""Real servers with a hostile model, at each level of the sandbox, as this account and as a plain one."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import attrs
import httpx
import pytest

import prism_core
from prism_core.testing.server import ServerProcess

from .prism_hostile import ATTACKS, NO_ATTACK

PLUGIN = Path(__file__).with_name("prism_hostile.py")
NOBODY = 65534
CONFIG = "plugins: {process: {max_threads: 64, tmp: 32MB}}"


@attrs.frozen
class Victim:
    """A server, and what a model of it may attack."""

    server: ServerProcess

    def attack(self, name: str) -> bool:
        """Have the hostile model make an attack; return whether it succeeded, or was the end of it."""
        number = list(ATTACKS).index(name)
        answer = self.ask("hostile", number)
        if answer.status_code != 200:
            assert answer.status_code in (502, 503), answer.text  # it was killed for it
            return False
        return answer.json()["predictions"] == [1]

    def answers(self) -> bool:
        """Tell whether another model of the server still answers."""
        return self.ask("calm", -1).json()["predictions"] == [NO_ATTACK]

    def ask(self, model: str, number: int) -> httpx.Response:
        url = f"{self.server.url}/model/{model}/predict"
        return httpx.post(url, json={"input": [number]}, timeout=60)

    def level(self) -> str:
        """Return how the hostile model says it is shut in."""
        return self.server.json("show", "hostile")["replicas"][0]["sandbox"]


@contextmanager
def victim(root: Path, sandbox: str, prefix: tuple[str, ...] = ()) -> Iterator[Victim]:
    """Serve a hostile and a calm model from ``root``, as whoever ``prefix`` makes the server."""
    with ExitStack() as stack:
        flags = ("--sandbox", sandbox)
        server = ServerProcess(root / "data", *flags, config=CONFIG, prefix=prefix)
        stack.enter_context(server)
        calm, hostile = root / "calm.hostile", root / "model.hostile"
        calm.write_text("{}")
        server.upload(calm, "--name", "calm")
        shown = server.json("show", "calm")
        facts = {
            "home": str(root / "home"),
            "data": str(server.data_dir),
            "other": str(next(server.data_dir.glob("artifacts/sha256-*"))),
            "gateway": server.facts["pid"],
            "replica": shown["replicas"][0]["pid"],
            "hold_s": 0 if sandbox == "off" else 30,
            "admin_port": int(server.facts["admin"].rpartition(":")[2]),
            **sockets(root, stack),
        }
        hostile.write_text(json.dumps(facts))
        server.upload(hostile, "--name", "hostile")
        yield Victim(server)


def sockets(root: Path, stack: ExitStack) -> dict[str, str]:
    """Listen as Podman would, and at an abstract name; everybody may connect."""
    names = {"unix": str(root / "podman.sock"), "abstract": f"prism-test-{os.getpid()}-{root.name}"}
    for name in (names["unix"], f"\0{names['abstract']}"):
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(name)
        listener.listen()
    names["datagrams"] = str(root / "log.sock")
    stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)).bind(names["datagrams"])
    for path in (names["unix"], names["datagrams"]):
        os.chmod(path, 0o666)
    return names


@contextmanager
def ground(owner: int | None = None) -> Iterator[Path]:
    """A directory with a home and the plugin, short enough for sockets, that ``owner`` may enter."""
    made = tempfile.TemporaryDirectory(prefix="prism-sandbox-")
    with made as name, pytest.MonkeyPatch.context() as patch:
        root = Path(name)
        site = root / "site"
        (root / "home" / ".ssh").mkdir(parents=True)
        (root / "home" / ".ssh" / "id").write_text("a private key")
        site.mkdir()
        shutil.copy(PLUGIN, site)
        info = site / "prism_hostile-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: prism-hostile\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[prism]\nhostile = prism_hostile\n")
        patch.setenv("PYTHONPATH", str(site))
        patch.setenv("HOME", str(root / "home"))
        patch.setenv("DATABASE_PASSWORD", "hunter2")
        if owner is not None:
            for path in (root, *root.rglob("*")):
                os.chown(path, owner, owner)
        yield root


def without_bubblewrap(patch: pytest.MonkeyPatch) -> None:
    """Let the server find no ``bwrap``."""
    patch.setenv("PATH", str(Path(sys.executable).parent))


def as_nobody() -> tuple[str, ...]:
    """Return what starts a program as a plain user, who sees this interpreter wherever it lies."""
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)  # HOME is that of a test
    places = {Path(sys.base_prefix), Path(sys.prefix), Path(prism_core.__file__).parents[1]}
    seen = [path for path in places if path.is_relative_to(home)]
    above = {one for path in seen for one in path.parents if one.is_relative_to(home) and one != home}
    ways = [word for one in sorted(above) for word in ("--perms", "0755", "--dir", str(one))]
    binds = [word for path in seen for word in ("--ro-bind", str(path), str(path))]
    cover = ("--tmpfs", str(home), *ways, *binds) if seen else ()
    user = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    return ("bwrap", "--dev-bind", "/", "/", *cover, "--", *user)
