"""Who may publish on this relay, and how much: records in a file, tokens as digests.

The file is written by ``prism relay token`` and read by the relay; it is replaced whole, so a reader
sees one state or the other.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from prism_core.plugin import ConfigError, Rate
from prism_tunnel.relay.naming import may_have

# Nobody's digest: what is compared with where there is no such client, so that this takes as long.
_NOBODY = "0" * 64


class Client(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One who may publish, and its limits. 0 and "" are none, or no limit.

    Parameters
    ----------
    name
        What it logs in as.
    digest
        SHA-256 of its token.
    keys
        Public keys that it may log in with instead, in OpenSSH's form.
    names
        What it may publish, also patterns such as ``ann-*``.
    rate
        How often its visitors may ask, all together.
    max_names
        How many names at a time.
    max_connections
        How many visitors' connections at a time.
    bytes_s
        How many bytes in a second, both ways together.
    created, expires
        Unix seconds; ``expires`` 0 for never.
    """

    name: str
    digest: str
    keys: tuple[str, ...]
    names: tuple[str, ...]
    rate: str
    max_names: int
    max_connections: int
    bytes_s: int
    created: float
    expires: float

    def may_publish(self, name: str) -> bool:
        """Return whether the name is one of its own."""
        return may_have(name, self.names)

    def is_good(self, now: float) -> bool:
        """Return whether it has not expired."""
        return not self.expires or now < self.expires

    @property
    def limit(self) -> Rate | None:
        """How often its visitors may ask."""
        return Rate.parse(self.rate) if self.rate else None


def new_token() -> str:
    """Return 256 random bits, as they are sent."""
    return secrets.token_urlsafe(32)


def digest_of(token: str) -> str:
    """Return what is kept of a token. It has 256 bits, so no slow hash is needed."""
    return hashlib.sha256(token.encode()).hexdigest()


class Clients:
    """The clients in a file; `look` reads it again where it has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mark: tuple[int, int, int] | None = None
        self._clients: dict[str, Client] = {}
        self.look()

    def look(self) -> bool:
        """Read the file if it is not the one that was read; return whether it was read.

        Raises
        ------
        ConfigError
            If it is damaged; what was read before still holds.
        """
        mark = _mark(self._path)
        if mark == self._mark:
            return False
        self._clients = {one.name: one for one in _read(self._path)}
        self._mark = mark
        return True

    def find(self, name: str) -> Client | None:
        """Return the client of that name."""
        return self._clients.get(name)

    def __iter__(self) -> Iterator[Client]:
        return iter(list(self._clients.values()))

    def holds_token(self, name: str, token: str, now: float) -> bool:
        """Return whether this is the client's token, and still good."""
        client = self._clients.get(name)
        digest = client.digest if client and client.digest else _NOBODY
        same = hmac.compare_digest(digest, digest_of(token))
        return same and client is not None and client.is_good(now)

    def holds_key(self, name: str, key: str, now: float) -> bool:
        """Return whether this public key, ``ssh-ed25519 AAAA...``, is one of the client's."""
        client = self._clients.get(name)
        return client is not None and client.is_good(now) and key in client.keys

    def is_known(self, name: str) -> bool:
        """Return whether somebody may publish the name, though perhaps nobody does."""
        return any(one.may_publish(name) for one in self._clients.values())


def add(path: Path, client: Client) -> None:
    """Write a new client down; `ConfigError` if there is one of its name."""
    with _changing(path) as clients:
        if client.name in clients:
            raise ConfigError(
                f"There is a client {client.name!r} already.",
                hint=f"Take another name, or end it: prism relay token revoke {client.name}",
            )
        clients[client.name] = client


def remove(path: Path, name: str) -> Client:
    """Strike a client out, and return it; `ConfigError` if there is none of that name."""
    with _changing(path) as clients:
        if name not in clients:
            raise ConfigError(f"There is no client {name!r}.", hint="prism relay token list")
        return clients.pop(name)


@contextmanager
def _changing(path: Path) -> Iterator[dict[str, Client]]:
    """Change the file: read, changed and replaced under a lock, so that two commands do not cross."""
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        clients = {one.name: one for one in _read(path)}
        yield clients
        write_private(path, msgspec.json.format(msgspec.json.encode(list(clients.values())), indent=1))


def write_private(path: Path, content: bytes) -> None:
    """Replace a file by one that only its owner may read."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _mark(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _read(path: Path) -> list[Client]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Client])
    except FileNotFoundError:
        return []
    except msgspec.DecodeError as error:
        raise ConfigError(f"{path.name} cannot be read: {error}", hint="Restore it from a backup.") from error


def expiry(seconds: float | None, now: float | None = None) -> float:
    """Return the moment in so many seconds, 0 for never."""
    return (time.time() if now is None else now) + seconds if seconds else 0.0
