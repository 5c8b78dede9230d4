"""The keys of an identity provider: fetched beside the requests, known for good while it is down.

A token with a key that is not known may be signed with a new one, so the keys are fetched
again, but not more often than every few seconds: who makes up key ids must not make us a
nuisance to the provider. Until that is answered nobody can tell whether such a token is good.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import structlog

from prism_core.errors import ConfigError, IdentityUnavailable, Unauthorized
from prism_core.settings import OidcSettings

# Between two fetches while all is well; between two that a strange key id may cause; at most, after failures.
REFRESH_S, COOL_DOWN_S, MOST_PAUSE_S = 300.0, 10.0, 60.0
# How long the start of the server waits for the keys, and how long an answer may take.
START_S, ANSWER_S = 5.0, 5.0
MAX_ANSWER_BYTES = 1 << 20
DISCOVERY = "/.well-known/openid-configuration"

Keys = Mapping[str, Any]

log = structlog.get_logger("prism.oidc")


class ProviderKeys:
    """The keys by their id, and when to ask for them again.

    Parameters
    ----------
    fetch
        Returns the keys, or raises.
    clock
        Monotonic seconds.

    Attributes
    ----------
    withdrawn
        Called when a key is no longer published.
    """

    def __init__(
        self, fetch: Callable[[], Awaitable[Keys]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.keys: Keys = {}
        self.withdrawn: Callable[[], None] = lambda: None
        self._fetch = fetch
        self._clock = clock
        self._tried = self._got = -math.inf
        self._failures = 0
        self._wanted = asyncio.Event()

    def find(self, key_id: str) -> Any:
        """Return the key with an id; "" is the only key there is.

        Raises
        ------
        Unauthorized
            If there is none.
        IdentityUnavailable
            If nobody can tell yet; the keys are being fetched, or will be soon.
        """
        key = self.keys.get(key_id) if key_id else self._only()
        if key is not None:
            return key
        now = self._clock()
        if now - self._got < COOL_DOWN_S:
            raise Unauthorized("The token is signed with a key that the identity provider does not have.")
        if now - self._tried >= COOL_DOWN_S:
            self._wanted.set()
        raise IdentityUnavailable(
            "The keys of the identity provider are not known yet.",
            hint="They are being fetched; try again.",
            details={"retry_after_s": 1},
        )

    def _only(self) -> Any:
        return next(iter(self.keys.values())) if len(self.keys) == 1 else None

    async def run(self) -> None:
        """Fetch the keys, again and again, until cancelled."""
        while True:
            # Not `wait_for`: in Python 3.11 it loses a cancel that comes together with the event.
            with suppress(TimeoutError):
                async with asyncio.timeout(self.pause_s()):
                    await self._wanted.wait()
            await self.refresh()

    def pause_s(self) -> float:
        """Return how long nothing is to be fetched, unless somebody shows a strange key id."""
        return min(2.0**self._failures, MOST_PAUSE_S) if self._failures else REFRESH_S

    async def refresh(self) -> None:
        """Fetch the keys once; where that fails, those that are known stay."""
        tried = self._tried = self._clock()
        self._wanted.clear()
        self._failures += 1  # until it has answered
        try:
            keys = await self._fetch()
        except Exception as error:  # whatever a foreign server may do to us
            reason = f"{type(error).__name__}: {error}"
            log.warning("oidc.keys_not_fetched", reason=reason, known=len(self.keys))
            return
        gone = self.keys.keys() - keys.keys()
        self._got, self._failures, self.keys = tried, 0, keys
        if gone:
            self.withdrawn()


@asynccontextmanager
async def open_provider(settings: OidcSettings) -> AsyncIterator[ProviderKeys]:
    """Keep the provider's keys at hand. A provider that is down does not keep the server from starting.

    Raises
    ------
    ConfigError
        If its address is not one that can be trusted.
    """
    import httpx

    for name in ("issuer", "jwks_url"):
        check_url(getattr(settings, name), f"oidc.{name}")
    # A proxy of the environment has no business between this machine and itself.
    local = _is_local(urlsplit(settings.jwks_url or settings.issuer).hostname)
    async with httpx.AsyncClient(timeout=ANSWER_S, trust_env=not local) as http:

        async def fetch() -> Keys:
            return await fetch_keys(http, settings)

        provider = ProviderKeys(fetch)
        with suppress(TimeoutError):
            async with asyncio.timeout(START_S):
                await provider.refresh()
        task = asyncio.create_task(provider.run(), name="oidc")
        try:
            yield provider
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def fetch_keys(http: Any, settings: OidcSettings) -> Keys:
    """Return the keys that the provider publishes."""
    url = settings.jwks_url
    if not url:
        found = await _get(http, settings.issuer.rstrip("/") + DISCOVERY)
        if found.get("issuer") != settings.issuer:
            raise ValueError(f"the provider calls itself {found.get('issuer')!r}, not {settings.issuer!r}")
        url = str(found.get("jwks_uri"))
        check_url(url, "jwks_uri")
    return keys_of(await _get(http, url))


async def _get(http: Any, url: str) -> dict[str, Any]:
    import msgspec

    body = b""
    async with http.stream("GET", url, headers={"Accept": "application/json"}) as response:
        response.raise_for_status()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                raise ValueError(f"the answer of {url} is larger than {MAX_ANSWER_BYTES} bytes")
    return msgspec.json.decode(body, type=dict[str, Any])


def keys_of(document: Mapping[str, Any]) -> Keys:
    """Return the public keys of a JWK set by their ids, without those that cannot verify a signature."""
    from joserfc.errors import JoseError
    from joserfc.jwk import ECKey, KeySet, RSAKey

    keys: list[RSAKey | ECKey] = []
    for data in document.get("keys") or ():
        if not isinstance(data, dict) or data.get("use", "sig") != "sig":
            continue
        try:
            if data.get("kty") == "RSA":
                keys.append(RSAKey.import_key(data))
            elif data.get("kty") == "EC":  # anything else is new to us, or a secret
                keys.append(ECKey.import_key(data))
        except (JoseError, ValueError, TypeError) as error:
            log.warning("oidc.key_ignored", kid=data.get("kid"), reason=str(error))
    if not keys:
        raise ValueError("the provider publishes no key that verifies a signature")
    return {key.kid or "": key for key in KeySet([*keys])}


def check_url(url: str, name: str) -> None:
    """Raise `ConfigError` unless what ``url`` answers can be trusted: TLS, or this machine."""
    parts = urlsplit(url)
    if url and not (parts.scheme == "https" or (parts.scheme == "http" and _is_local(parts.hostname))):
        raise ConfigError(
            f"{name} is {url!r}; the keys of an identity provider are believed over https only.",
            hint="Give its https address.",
        )


def _is_local(host: str | None) -> bool:
    return host in ("127.0.0.1", "::1", "localhost")
