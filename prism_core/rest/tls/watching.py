"""Keep the certificates of running listeners fresh: look at their files, make our own anew in time.

A new context is for new connections; those that are open go on with what they agreed on.
"""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from prism_core.errors import ConfigError, PrismError
from prism_core.rest.tls.authority import Files, is_due, issue, open_authority
from prism_core.rest.tls.context import Pair, context_of
from prism_core.rest.tls.names import found_here, local_names
from prism_core.settings import Settings

log = structlog.get_logger(__name__)

# Between two looks at the files: a stat each.
LOOK_S = 2.0
# Between two looks at this machine's addresses.
RENEW_S = 30.0


class Certificates:
    """The contexts of the public and the admin listener.

    Attributes
    ----------
    public, admin
        Contexts for new connections; replaced whole.
    """

    public: ssl.SSLContext
    admin: ssl.SSLContext

    def __init__(self, pair: Pair, *, ours: bool) -> None:
        self.pair = pair
        self.ours = ours
        self._mark = pair.mark if all(path.exists() for path in pair.files) else ()
        self._told = self._mark
        self._load()

    @property
    def facts(self) -> dict[str, str]:
        """What the command line is told: which certificate, and who signed it, where that is known."""
        ca = self.pair.cert.with_name("ca.pem")
        return {"cert": str(self.pair.cert), "ca": str(ca) if self.ours else ""}

    def look(self) -> None:
        """Load the files again if they have changed. What cannot be used is told once, and not used."""
        try:
            mark = self.pair.mark
            if mark == self._mark:
                return
            self._load()
        except (OSError, ConfigError) as error:
            self._tell(error)
            return
        self._mark = self._told = mark
        log.info("tls.loaded", cert=str(self.pair.cert))

    def _load(self) -> None:
        public = context_of(self.pair)
        # The owner's tools have a token and need no certificate.
        self.admin = context_of(Pair(self.pair.cert, self.pair.key)) if self.pair.client_ca else public
        self.public = public

    def _tell(self, error: OSError | ConfigError) -> None:
        try:
            mark = self.pair.mark
        except OSError:
            mark = ()
        if mark != self._told:
            self._told = mark
            reason = error.message if isinstance(error, PrismError) else str(error)
            log.error("tls.not_loaded", reason=reason, hint="The certificate from before stays in use.")


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches ``host``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_admin_host(settings: Settings) -> None:
    """Raise `ConfigError` if the admin listener would send its token over a network as it is."""
    if not is_loopback(settings.admin_host) and pair_of(settings) is None:
        raise ConfigError(
            f"admin_host is {settings.admin_host!r}, which others reach, and there is no TLS.",
            hint="Add --tls self-signed, or --tls-cert and --tls-key; or leave --admin-host at 127.0.0.1.",
        )


def pair_of(settings: Settings) -> Pair | None:
    """Return the files that the settings name, None where there is no TLS.

    Raises
    ------
    ConfigError
        If they contradict each other.
    """
    tls = settings.tls
    client_ca = Path(tls.client_ca) if tls.client_ca else None
    if tls.cert:
        if tls.mode == "self-signed":
            raise ConfigError(
                "tls.mode is self-signed, and tls.cert names a certificate.", hint="Give one of the two."
            )
        return Pair(Path(tls.cert), Path(tls.key) if tls.key else None, client_ca)
    if tls.key:
        raise ConfigError("tls.key names a key without a certificate.", hint="Name it with tls.cert.")
    if tls.mode == "self-signed":
        return Pair(Files.of(settings.data_dir.expanduser().resolve()).server, None, client_ca)
    if client_ca:
        raise ConfigError(
            "tls.client_ca asks clients for certificates, and there is no TLS.",
            hint="Add --tls self-signed, or --tls-cert and --tls-key.",
        )
    return None


def renew(settings: Settings) -> None:
    """Make the certificate of our own authority, if there is none that is good for a while."""
    files = Files.of(settings.data_dir.expanduser().resolve())
    try:
        hostname, addresses = found_here()
        authority = open_authority(files, hostname, addresses)
    except ImportError as error:
        raise ConfigError(
            "A certificate of its own takes the package cryptography.", hint="pip install 'prism-core[tls]'"
        ) from error
    announced = str(settings.plugins.get("lan", {}).get("mdns", ""))
    names = local_names(hostname, addresses, authority.permitted, announced)
    reason = is_due(files.server, names, authority, datetime.datetime.now(datetime.UTC))
    if reason:
        issue(authority, names, files.server)
        facts = {"hosts": names.hosts, "addresses": [str(one) for one in names.addresses]}
        log.info("tls.issued", reason=reason, **facts)
        if names.outside:
            log.warning(
                "tls.left_out", names=names.outside, hint="They are not local; see docs/how-to/tls.md."
            )


@asynccontextmanager
async def certificates(settings: Settings, *, leads: bool) -> AsyncIterator[Certificates | None]:
    """Open the certificates that the settings ask for, None where they ask for none.

    Parameters
    ----------
    leads
        This process makes what the local authority signs; followers only read it.
    """
    pair = pair_of(settings)
    if pair is None:
        yield None
        return
    ours = settings.tls.mode == "self-signed"
    if ours and leads:
        settings.data_dir.expanduser().mkdir(parents=True, exist_ok=True, mode=0o700)
        renew(settings)
    found = Certificates(pair, ours=ours)
    tasks = [asyncio.create_task(_every(LOOK_S, found.look))]
    if ours and leads:
        tasks.append(asyncio.create_task(_every(RENEW_S, lambda: renew(settings))))
    try:
        yield found
    finally:
        for task in tasks:
            task.cancel()


async def _every(seconds: float, work: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            work()
        except Exception:
            log.exception("tls.failed")
