"""What a listener needs to speak TLS, made of PEM files; every fault of theirs has its sentence."""

from __future__ import annotations

import ssl
from pathlib import Path

import attrs

from prism_core.errors import ConfigError

# For TLS 1.2; those of 1.3 are all good. Forward secrecy and authenticated encryption, no RSA key exchange.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


@attrs.frozen
class Pair:
    """A certificate with its chain, its key, and who signs the certificates of clients.

    ``key`` None: it is in the file of the certificate. ``client_ca`` None: clients need none.
    """

    cert: Path
    key: Path | None = None
    client_ca: Path | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """All files."""
        return tuple(path for path in (self.cert, self.key, self.client_ca) if path is not None)

    @property
    def mark(self) -> tuple[tuple[int, int, int], ...]:
        """What changes when a file does."""
        stats = [path.stat() for path in self.files]
        return tuple((one.st_ino, one.st_mtime_ns, one.st_size) for one in stats)


def context_of(pair: Pair) -> ssl.SSLContext:
    """Return a context for new connections.

    Raises
    ------
    ConfigError
        If a file is missing, encrypted, no PEM, or the key is not that of the certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_ciphers(CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    for path in pair.files:
        _readable(path)
    try:
        context.load_cert_chain(pair.cert, pair.key, password=lambda: _refuse_password(pair.key or pair.cert))
    except ssl.SSLError as error:
        raise _explained(error, pair) from error
    if pair.client_ca is not None:
        _demand_certificates(context, pair.client_ca)
    return context


def _readable(path: Path) -> None:
    try:
        path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"The file {str(path)!r} for TLS cannot be read: {error.strerror}.",
            hint="Check tls.cert, tls.key and tls.client_ca, and who may read them.",
        ) from error


def _refuse_password(path: Path) -> str:
    raise ConfigError(
        f"The private key in {str(path)!r} is encrypted; a server that starts by itself has nobody to ask.",
        hint=f"Write one without a password: openssl pkey -in {path} -out plain.key; chmod 600 plain.key",
    )


def _explained(error: ssl.SSLError, pair: Pair) -> ConfigError:
    reason = error.reason or str(error)
    if "MISMATCH" in reason:
        return ConfigError(
            f"The key {str(pair.key or pair.cert)!r} does not belong to the certificate {str(pair.cert)!r}.",
            hint="Name the two files that belong together with --tls-cert and --tls-key.",
        )
    if pair.key is None:
        return ConfigError(
            f"The file {str(pair.cert)!r} does not hold a certificate and its key as PEM ({reason}).",
            hint="Name the key with --tls-key, if it is in a file of its own.",
        )
    return ConfigError(
        f"TLS cannot use {str(pair.cert)!r} and {str(pair.key)!r} ({reason}).",
        hint="Both are PEM: the certificate with its chain, and its private key.",
    )


def _demand_certificates(context: ssl.SSLContext, authority: Path) -> None:
    try:
        context.load_verify_locations(authority)
    except ssl.SSLError as error:
        raise ConfigError(
            f"The file {str(authority)!r} holds no certificates of an authority ({error.reason or error}).",
            hint="--tls-client-ca is PEM: who signs the certificates of your clients.",
        ) from error
    context.verify_mode = ssl.CERT_REQUIRED
