"""Which keys SSH servers are known by: those that OpenSSH knows for the user, and those trusted here."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import asyncssh
import attrs

from prism_tunnel.ssh.places import SSH_PORT, place_of

# Below the data directory: what `prism tunnel trust` stored.
OWN = Path("tunnel", "known_hosts")


@attrs.frozen
class HostKey:
    """The key that a server showed for itself."""

    host: str
    port: int
    algorithm: str
    public: str
    fingerprint: str

    @property
    def place(self) -> str:
        """What the owner calls the server: ``HOST``, or ``HOST:PORT`` where that is not 22."""
        return place_of(self.host, self.port)

    @property
    def line(self) -> str:
        """The server's line in a file of known hosts."""
        return f"{_name_of(self.host, self.port)} {self.public}\n"


@attrs.frozen
class KnownHosts:
    """The files that say which host keys are known.

    Parameters
    ----------
    files
        In the form of OpenSSH's ``known_hosts``; those that are not there hold nothing.
    own
        The one that is written.
    """

    files: tuple[Path, ...]
    own: Path

    @classmethod
    def of(cls, data_dir: str, files: Iterable[str]) -> KnownHosts:
        """Return the user's files and the one below a data directory."""
        own = Path(data_dir, OWN)
        return cls((*(Path(name).expanduser() for name in files), own), own)

    def read(self) -> asyncssh.SSHKnownHosts:
        """Return what is known now, never None: that would mean to asyncssh that all keys are good."""
        known = asyncssh.SSHKnownHosts()
        for line in self._lines():
            try:
                known.load(line)
            except ValueError:
                continue  # as OpenSSH does: a line that is not understood makes no key known
        return known

    def fingerprints(self, host: str, port: int) -> list[str]:
        """Return those of the keys that a server is known by."""
        keys = self.read().match(host, "", port if port != SSH_PORT else None)[0]
        return [key.get_fingerprint() for key in keys]

    def remember(self, key: HostKey) -> None:
        """Store a key; it replaces those that were stored here for the server, in no file of OpenSSH."""
        name = _name_of(key.host, key.port)
        kept = [line for line in _lines_of(self.own) if line.split(" ", 1)[0] != name]
        self.own.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = self.own.with_name(f".{self.own.name}.{os.getpid()}")
        temporary.write_text("".join(f"{line}\n" for line in kept) + key.line)
        temporary.chmod(0o600)
        temporary.replace(self.own)

    def _lines(self) -> Iterator[str]:
        for path in self.files:
            yield from _lines_of(path)


def shown(host: str, port: int, key: asyncssh.SSHKey) -> HostKey:
    """Return the record of a key that a server showed."""
    public = key.export_public_key().decode().strip().split(" ")[:2]
    return HostKey(host, port, public[0], " ".join(public), key.get_fingerprint())


def _name_of(host: str, port: int) -> str:
    return host if port == SSH_PORT else f"[{host}]:{port}"


def _lines_of(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return []
