"""Certificates by openssl, and servers that use them."""

from __future__ import annotations

import socket
import ssl
import subprocess
from pathlib import Path

import httpx
import joblib
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from prism_core.testing.server import ServerProcess


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    """``line.pkl``: y = 2 a + 3 b."""
    path = tmp_path_factory.mktemp("models") / "line.pkl"
    x = np.array([[0.0, 0], [1, 0], [0, 1], [2, 5]])
    joblib.dump(LinearRegression().fit(x, x @ [2, 3]), path)
    return path


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def make_certificate(cert: Path, key: Path, name: str = "localhost", *signed: str | Path) -> None:
    """Write a certificate and its key; without ``signed`` (-CA and so on) it signs itself."""
    openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-days", "3", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"),
        *("-keyout", key, "-out", cert, *signed),
    )


def address(server: ServerProcess) -> tuple[str, int]:
    url = httpx.URL(server.url)
    return url.host, url.port or 443


def shake_hands(server: ServerProcess, context: ssl.SSLContext, name: str = "localhost") -> ssl.SSLSocket:
    """Open an encrypted connection."""
    plain = socket.create_connection(address(server), timeout=20)
    return context.wrap_socket(plain, server_hostname=name)


def trusting(path: Path) -> ssl.SSLContext:
    """Return a client's context that believes the authority in ``path``, and no other."""
    return ssl.create_default_context(cafile=path)
