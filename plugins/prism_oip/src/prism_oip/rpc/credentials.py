"""What encrypts gRPC: the files of the public listener's certificate, looked at with each new connection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import grpc

from prism_core.plugin import Surroundings

Mark = tuple[tuple[int, int, int], ...]


@attrs.define
class Files:
    """Files of a certificate, and what they held when they were last read."""

    cert: Path
    key: Path
    client_ca: Path | None
    mark: Mark = ()

    @classmethod
    def of(cls, around: Surroundings) -> Files:
        """Return those that the public listener has."""
        client_ca = Path(around.client_ca) if around.client_ca else None
        return cls(Path(around.tls_cert), Path(around.tls_key), client_ca)

    def read(self) -> grpc.ServerCertificateConfiguration:
        """Return what they hold."""
        self.mark = self._mark()
        ca = self.client_ca.read_bytes() if self.client_ca else None
        pair = (self.key.read_bytes(), self.cert.read_bytes())
        return grpc.ssl_server_certificate_configuration([pair], root_certificates=ca)

    def fresh(self) -> grpc.ServerCertificateConfiguration | None:
        """Return what they hold if that is something new, and can be used; called for each new connection.

        That is told by the public listener, which looks at the same files.
        """
        try:
            return self.read() if self._mark() != self.mark else None
        except OSError:
            return None

    def _mark(self) -> Mark:
        paths = (self.cert, self.key, *((self.client_ca,) if self.client_ca else ()))
        stats = [path.stat() for path in paths]
        return tuple((one.st_ino, one.st_mtime_ns, one.st_size) for one in stats)


def credentials_of(around: Surroundings) -> grpc.ServerCredentials | None:
    """Return what encrypts connections, None where the public listener does not either."""
    if not around.tls_cert:
        return None
    files = Files.of(around)
    fresh: Any = files.fresh  # it may return None, for nothing new
    return grpc.dynamic_ssl_server_credentials(
        files.read(), fresh, require_client_authentication=files.client_ca is not None
    )
