"""What a package may do that is imported as its interpreter begins: look around in the data directory."""

import contextlib
import socket
import sys
from pathlib import Path

DATA = Path(sys.prefix).parents[1]
REACHED = []


def reach(name, attempt):
    with contextlib.suppress(OSError):
        attempt()
        REACHED.append(name)


def change(directory):
    path = directory / "was here"
    path.touch()
    path.unlink()


def look_around(reached=REACHED):
    """Note what can be reached; none of it is for a model but its own environment, to be read."""
    reached.clear()
    reach("admin token", (DATA / "admin-token").read_text)
    reach("home", (Path.home() / "secret").read_text)
    for root in DATA.glob("environments/*/pyvenv.cfg"):
        reach(f"read {root.parent.name}", root.read_text)
    for name in ("one", "two"):
        reach(f"open {name}", (DATA / "environments" / name / "pyvenv.cfg").read_text)
        reach(f"change {name}", lambda name=name: change(DATA / "environments" / name))
    reach(
        "network",
        lambda: socket.create_connection(("127.0.0.1", int((DATA / "artifacts" / "port").read_text())), 2),
    )
    return sorted(reached)


look_around()
