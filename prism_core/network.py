"""Where this machine stands in its network, asked without sending anything."""

from __future__ import annotations

import socket

# TEST-NET-2 (RFC 5737): belongs to nobody. A UDP "connection" to it chooses the outward
# interface and sends nothing.
OUTWARD = ("198.51.100.1", 9)


def outward_address() -> str:
    """Return the IPv4 address of the interface that leads out, 127.0.0.1 without a network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(OUTWARD)
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"
