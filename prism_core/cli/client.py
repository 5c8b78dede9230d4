"""A client of the admin API: finds the server, sends requests, turns problems into errors again."""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import attrs

from prism_core.cli.options import Common
from prism_core.cli.trusting import pinned, verification
from prism_core.errors import (
    ConfigError,
    ModelNotFound,
    PrismError,
    RouteNotFound,
    Unauthorized,
    error_from_code,
)

if TYPE_CHECKING:
    import httpx

# An answer may wait for a drain; a connection on this machine or in this house must not.
CONNECT_S, READ_S = 5.0, 120.0


class ServerNotFound(PrismError):
    """No server answers where one was looked for."""


@attrs.frozen
class Address:
    """Where a server's admin API is, and what opens it."""

    admin: str
    token: str
    local: bool = True
    verify: ssl.SSLContext | bool = True


def data_dir_of(common: Common) -> Path:
    """Return the data directory that the options, the environment or prism.yaml name."""
    if common.data_dir:
        return common.data_dir.expanduser().absolute()
    from prism_core.settings_file import load_settings

    return load_settings(None, os.environ).data_dir


def running_server(data_dir: Path) -> dict[str, Any] | None:
    """Return what the server of ``data_dir`` says about itself, None when none runs."""
    try:
        facts: dict[str, Any] = json.loads((data_dir / "server.json").read_bytes())
        alive = _alive(int(facts["pid"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return facts if alive else None


def _alive(pid: int) -> bool:
    import psutil

    return psutil.pid_exists(pid)


def find_server(common: Common) -> Address:
    """Return the server that the options mean.

    A token from a local file is only sent to the server that wrote it, never to ``--server``
    elsewhere.

    Raises
    ------
    ServerNotFound
        If none runs for the data directory.
    """
    if common.server:
        return _named(common)
    data_dir = data_dir_of(common)
    facts = running_server(data_dir)
    if facts is None:
        raise ServerNotFound(
            f"No server is running for the data directory {str(data_dir)!r}.",
            hint="Start one with `prism serve`, or do both in one with `prism share FILE`.",
        )
    url = facts["admin"].rstrip("/")
    verify = pinned(Path(facts["tls"]["cert"])) if url.startswith("https:") else True
    return Address(url, common.token or _token(data_dir), verify=verify)


def _named(common: Common) -> Address:
    url = common.server if "://" in common.server else f"http://{common.server}"
    url = url.rstrip("/")
    try:
        host, port = urlsplit(url).hostname, urlsplit(url).port
    except ValueError as error:
        raise ConfigError(f"--server {common.server!r} is no URL: {error}.") from error
    if not host:
        raise ConfigError(
            f"--server {common.server!r} names no host.", hint="It looks like http://127.0.0.1:8001."
        )
    local = host in ("127.0.0.1", "localhost", "::1")
    token = common.token
    if not token and local:
        data_dir = data_dir_of(common)
        facts = running_server(data_dir)
        token = _token(data_dir) if facts and urlsplit(facts["admin"]).port == port else ""
    return Address(url, token, local, verification(url, common))


def _token(data_dir: Path) -> str:
    try:
        return (data_dir / "admin-token").read_text().strip()
    except OSError as error:
        raise Unauthorized(
            f"The admin token in {str(data_dir)!r} cannot be read: {error.strerror}.",
            hint="Run prism as the user who started the server, or give --token.",
        ) from error


class AdminClient:
    """One connection to the admin API; errors of the server are raised as what they were there."""

    def __init__(self, address: Address, transport: httpx.BaseTransport | None = None) -> None:
        import httpx

        self.address = address
        self._http = httpx.Client(
            base_url=address.admin,
            headers={"Authorization": f"Bearer {address.token}"} if address.token else {},
            timeout=httpx.Timeout(READ_S, connect=CONNECT_S),
            # A proxy of the environment has no business between this machine and itself.
            trust_env=not address.local,
            verify=address.verify,
            transport=transport,
        )

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, Any] | None = None,
        read_s: float = READ_S,
    ) -> Any:
        """Return the answer to one request as plain values; it may take ``read_s``."""
        import httpx

        options: dict[str, Any] = {"json": body} if body is not None else {}
        options["timeout"] = httpx.Timeout(read_s, connect=CONNECT_S)
        with _connecting(self.address):
            response = self._http.request(method, f"/admin/v1{path}", params=_given(query), **options)
        _raise_for(response)
        return response.json() if response.content else None

    @contextmanager
    def stream(self, method: str, path: str, **options: Any) -> Iterator[httpx.Response]:
        """Open a streamed answer; it may take as long as it takes."""
        import httpx

        options.setdefault("timeout", httpx.Timeout(None, connect=CONNECT_S))
        with (
            _connecting(self.address),
            self._http.stream(method, f"/admin/v1{path}", **options) as response,
        ):
            if response.is_error:
                response.read()
                _raise_for(response)
            yield response

    # --- models ---------------------------------------------------------------------------

    def server(self) -> dict[str, Any]:
        """Return what the server says about itself."""
        found: dict[str, Any] = self.call("GET", "/server")
        return found

    def models(self) -> list[dict[str, Any]]:
        """Return all models."""
        found = self.call("GET", "/models")
        models: list[dict[str, Any]] = found["models"] if isinstance(found, dict) else found
        return models

    def model(self, name: str) -> dict[str, Any]:
        """Return one model with its versions."""
        found: dict[str, Any] = self.call("GET", model_path(name))
        return found

    def version(self, name: str, version: int) -> dict[str, Any]:
        """Return one version, its replicas measured now."""
        found: dict[str, Any] = self.call("GET", f"{model_path(name)}/versions/{version}")
        return found

    def resolve(self, reference: str, version: int | None = None) -> tuple[str, int]:
        """Return model and version of ``churn``, ``churn/3`` or ``churn@champion``."""
        name, wanted, alias = parse_reference(reference)
        wanted = version or wanted
        if wanted:
            return name, wanted
        model = self.model(name)
        aliases = model.get("aliases") or {}
        found = aliases.get(alias or "latest")
        if found is None and alias:
            raise ModelNotFound(
                f"Model {name!r} has no alias {alias!r}.", hint=f"It has: {', '.join(aliases) or 'none'}."
            )
        return name, found or max(v["version"] for v in model["versions"])


@contextmanager
def admin(common: Common | None = None) -> Iterator[AdminClient]:
    """Open a client of the server that the options mean."""
    client = AdminClient(find_server(common or Common.of()))
    try:
        yield client
    finally:
        client.close()


def model_path(name: str) -> str:
    """Return the admin API's path of a model."""
    return f"/models/{quote(name, safe='')}"


def parse_reference(reference: str) -> tuple[str, int | None, str]:
    """Return name, version and alias of ``churn``, ``churn/3`` or ``churn@champion``."""
    if "@" in reference:
        name, _, alias = reference.partition("@")
        return name, None, alias
    name, _, version = reference.partition("/")
    if version and not version.isdigit():
        raise ModelNotFound(
            f"{reference!r} is no model.",
            hint="Write churn, churn/3 for a version, churn@champion for an alias.",
        )
    return name, int(version) if version else None, ""


def _given(query: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (query or {}).items() if value not in (None, "")}


@contextmanager
def _connecting(address: Address) -> Iterator[None]:
    import httpx

    try:
        yield
    except httpx.ConnectError as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise not_believed(address.admin, error) from error
        raise ServerNotFound(
            f"No server answers at {address.admin}: {error}.",
            hint="Start it with `prism serve`, or check --server.",
        ) from error
    except httpx.TimeoutException as error:
        raise ServerNotFound(f"The server at {address.admin} does not answer in time.") from error
    except (httpx.TransportError, httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise ServerNotFound(
            f"The connection to {address.admin} broke: {error}.",
            hint="`prism list` shows whether it still runs.",
        ) from error


def not_believed(url: str, error: Exception) -> ServerNotFound:
    """Return the error of a server whose certificate nobody vouches for that is trusted here."""
    return ServerNotFound(
        f"The certificate of {url} is not trusted: {str(error).rpartition(': ')[2]}.",
        hint="Give its authority with --ca FILE or PRISM_CA; there `prism trust --pem` prints it.",
    )


def _raise_for(response: httpx.Response) -> None:
    if not response.is_error:
        return
    error = problem_of(response)
    # The server speaks of headers and routes; here it is options that were wrong.
    if isinstance(error, Unauthorized):
        error.hint = "Give the token with --token or PRISM_TOKEN; it is in admin-token of the data directory."
    elif isinstance(error, RouteNotFound):
        error.hint = "--server takes the admin URL, not the public one; `prism serve` prints both."
    raise error


def problem_of(response: httpx.Response) -> PrismError:
    """Return the error that a response tells of."""
    try:
        return problem_error(response.json())
    except (ValueError, KeyError, TypeError, AttributeError):
        return PrismError(
            f"{response.url} answered {response.status_code}, and not as a PRISM server does.",
            hint="--server takes the admin URL; `prism serve` prints it.",
        )


def problem_error(problem: Mapping[str, Any]) -> PrismError:
    """Return the error that a problem document tells of."""
    details = dict(problem.get("details") or {})
    if problem.get("error_id"):
        details["error_id"] = problem["error_id"]
    return error_from_code(problem["code"], problem["detail"], problem.get("hint") or "", details)
