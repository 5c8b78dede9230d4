"""The listeners of a server, and how they are reached."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Sequence

import attrs

from prism_core.protocols import PublicListener
from prism_core.rest.listen import address_of
from prism_core.rest.tls.watching import Certificates, is_loopback


@attrs.frozen
class Doors:
    """The listeners, and what encrypts them."""

    public: Sequence[socket.socket]
    admin: socket.socket
    secrets: Certificates | None

    @property
    def links(self) -> PublicListener:
        """The address of the public listener, for links."""
        return PublicListener(*address_of(self.public[0]), scheme="https" if self.secrets else "http")

    @property
    def admin_url(self) -> str:
        """Where the owner's tools on this machine reach the admin listener."""
        host, port = address_of(self.admin)
        return PublicListener(host, port, scheme="https" if self.admin_tls else "http").url()

    @property
    def public_tls(self) -> Callable[[], ssl.SSLContext] | None:
        """The context of the public listener."""
        secrets = self.secrets
        return (lambda: secrets.public) if secrets else None

    @property
    def admin_tls(self) -> Callable[[], ssl.SSLContext] | None:
        """The context of the admin listener; on this machine alone it needs none."""
        secrets = self.secrets
        return (lambda: secrets.admin) if secrets and not is_loopback(address_of(self.admin)[0]) else None
