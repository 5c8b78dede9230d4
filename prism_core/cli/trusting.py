"""Whose certificates the command line believes, and the authority of a local server."""

from __future__ import annotations

import ssl
from pathlib import Path

from prism_core.cli.options import Common
from prism_core.errors import ConfigError

BEGIN, END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


def authority_of(data_dir: Path) -> Path | None:
    """Return the certificate of a data directory's own authority, None where there is none."""
    path = data_dir / "tls" / "ca.pem"
    return path if path.exists() else None


def verification(url: str, common: Common) -> ssl.SSLContext | bool:
    """Return what httpx is to check ``url`` with.

    Believed are the authorities of this machine, that of ``--ca`` or ``PRISM_CA``, and the
    one in the data directory, which can vouch for local names only.
    """
    if not url.startswith("https:"):
        return True
    from prism_core.cli.client import data_dir_of

    context = ssl.create_default_context()
    own = authority_of(data_dir_of(common))
    for path in (common.ca, own):
        if path is not None:
            _believe(context, path)
    return context


def _believe(context: ssl.SSLContext, path: Path) -> None:
    try:
        context.load_verify_locations(path)
    except OSError as error:
        raise ConfigError(
            f"{str(path)!r} holds no certificates of an authority: {error.strerror or error}.",
            hint="--ca is a PEM file, for instance what `prism trust --pem` prints on the server's machine.",
        ) from error


def pinned(cert: Path) -> ssl.SSLContext:
    """Return a context that believes the one certificate in ``cert``, under whatever name it is asked.

    For the server of the data directory: the file was named by it, and its certificate need
    not have 127.0.0.1 in it.
    """
    text = cert.read_text()
    leaf = text[text.index(BEGIN) : text.index(END) + len(END)]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=leaf)
    return context
