"""How a server is called: ``HOST``, or ``HOST:PORT`` where its port is not that of SSH."""

from __future__ import annotations

SSH_PORT = 22


def place_of(host: str, port: int) -> str:
    """Return ``HOST``, or ``HOST:PORT`` where the port is not 22."""
    name = f"[{host}]" if ":" in host else host
    return name if port == SSH_PORT else f"{name}:{port}"


def parse_place(text: str) -> tuple[str, int]:
    """Return host and port of ``HOST``, ``HOST:PORT`` or ``[ADDRESS]:PORT``; else `ValueError`."""
    host, port = text, ""
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        port = port.removeprefix(":")
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    if not host or "@" in host or not (port or "22").isdecimal() or int(port or SSH_PORT) > 65535:
        raise ValueError(f"{text!r} is no HOST and no HOST:PORT.")
    return host, int(port or SSH_PORT)
