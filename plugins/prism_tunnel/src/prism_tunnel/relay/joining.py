"""Join strings: all that a laptop needs to know of a relay, in one line that is a secret.

``prism-relay://ann:TOKEN@links.example.org:2222/SHA256:...``
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import attrs

from prism_core.plugin import ConfigError

SCHEME = "prism-relay"
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")


@attrs.frozen
class Join:
    """Where a relay is, how to know that it is the one, and how to log in.

    Parameters
    ----------
    host, port
        Its SSH port.
    client, token
        Who the laptop is, and what proves it.
    fingerprint
        Of the relay's host key, as OpenSSH writes it.
    """

    host: str
    port: int
    client: str
    token: str = attrs.field(repr=False)
    fingerprint: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{SCHEME}://{self.client}:{quote(self.token, safe='')}@{host}:{self.port}/{self.fingerprint}"

    @classmethod
    def parse(cls, text: str) -> Join:
        """Read a join string.

        Raises
        ------
        ConfigError
            If it is none; the message does not repeat it, since it may hold most of one.
        """
        try:
            parts = urlsplit(text.strip())
            port = parts.port or 0
        except ValueError:
            raise _wrong() from None
        fingerprint = parts.path.removeprefix("/")
        whole = parts.scheme == SCHEME and parts.hostname and port and parts.username and parts.password
        if not whole or not _FINGERPRINT.fullmatch(fingerprint):
            raise _wrong()
        return cls(str(parts.hostname), port, str(parts.username), unquote(str(parts.password)), fingerprint)


def join_file(data_dir: str | Path) -> Path:
    """Return where ``prism relay join`` writes what it was told."""
    return Path(data_dir, "relay", "join")


def _wrong() -> ConfigError:
    return ConfigError(
        "This is not a join string, or not all of one.",
        hint="On the relay, `prism relay token create NAME` prints one: prism-relay://NAME:TOKEN@HOST:PORT/SHA256:...",
    )
