"""The relay's certificate: files that somebody renews, used anew as soon as they have changed."""

from __future__ import annotations

import ssl
from pathlib import Path

import attrs
import structlog

from prism_core.plugin import ConfigError

log = structlog.get_logger("prism.relay")

Mark = tuple[tuple[int, int, int], ...]


@attrs.define(eq=False)
class Certificate:
    """A TLS context and the files that it was loaded from.

    ``context`` is one object for the relay's life: a pair that is loaded into it holds for the
    connections to come.
    """

    cert: Path
    key: Path
    context: ssl.SSLContext
    _mark: Mark

    @classmethod
    def load(cls, cert: Path, key: Path) -> Certificate:
        """Load a certificate with its chain.

        Raises
        ------
        ConfigError
            If the files cannot be used.
        """
        context = _context()
        try:
            mark = _mark_of(cert, key)
            context.load_cert_chain(cert, key)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"The certificate {cert} with the key {key} cannot be used: {error}",
                hint="--cert takes the chain (fullchain.pem), --key its private key; both as PEM.",
            ) from error
        return cls(cert, key, context, mark)

    def look(self) -> None:
        """Load the files again if they have changed; a pair that cannot be used is told once, not used."""
        try:
            mark = _mark_of(self.cert, self.key)
            if mark == self._mark:
                return
            self._mark = mark
            # First elsewhere: loading half of a new pair must not spoil the one that works.
            _context().load_cert_chain(self.cert, self.key)
            self.context.load_cert_chain(self.cert, self.key)
        except (OSError, ssl.SSLError) as error:
            log.error("relay.certificate_not_loaded", reason=str(error))
            return
        log.info("relay.certificate_loaded", cert=str(self.cert))


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _mark_of(*paths: Path) -> Mark:
    found = [path.stat() for path in paths]
    return tuple((one.st_ino, one.st_mtime_ns, one.st_size) for one in found)
