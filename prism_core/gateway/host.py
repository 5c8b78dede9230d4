"""The server as its frontends see it: `prism_core.serving.Host`, over an open gateway.

Names and what is asked of them, nothing of any protocol. Whoever wants more of a gateway than this
is part of the core.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import attrs

from prism_core import __version__
from prism_core.audit import Actor
from prism_core.errors import PrismError
from prism_core.gateway.auditing import act_as, fingerprint
from prism_core.gateway.callers.door import Entry, caller_of, discreet
from prism_core.gateway.faults import told_of_fault
from prism_core.gateway.prediction import Head, Prediction
from prism_core.gateway.refusals import Refusals
from prism_core.gateway.registry import Version, unserved
from prism_core.gateway.traffic.sender import Sender
from prism_core.serving import Served, Statistics, Surroundings
from prism_core.specs import NOBODY, Caller

if TYPE_CHECKING:  # it makes one of these
    from prism_core.gateway.gateway import Gateway


# By these a proxy on this machine tells that somebody asks from elsewhere.
_FORWARDED = frozenset({"forwarded", "via", "x-forwarded-for", "x-real-ip"})


class GatewayHost:
    """A gateway, for its frontends.

    Parameters
    ----------
    gateway
        An open one, or one that is about to be.
    """

    version = __version__

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._registry = gateway.registry
        self._refusals = Refusals(gateway.audit)

    @property
    def surroundings(self) -> Surroundings:
        """Where the public listener is."""
        return self._gateway.outside.surroundings

    def note(
        self, method: str, path: str, client: str, status: int, answer_bytes: int, seconds: float, **more: Any
    ) -> None:
        """Write a line of the access log, where there is one."""
        self._gateway.outside.note(method, path, client, status, answer_bytes, seconds, **more)

    def settled(self) -> bool:
        """Return whether every model that is served at start is ready, or has failed."""
        return self._gateway.settled.is_set()

    # --- who asks ----------------------------------------------------------------------

    def enter(
        self, model: str, verb: str, headers: Mapping[str, str], client: str, body_bytes: int = 0
    ) -> Entry:
        """Ask the door to let a request in; it raises to refuse."""
        return self._gateway.door.enter(model, verb, headers, client, body_bytes)

    def failed(self, admitted: Entry | None, error: Exception) -> PrismError:
        """Tell the door that a request which it let in has no answer; return what its sender is told."""
        if admitted is None:
            return told_of_fault(error)
        self._gateway.door.failed(admitted, error)
        return told_of_fault(discreet(error, admitted.caller))

    def caller(self, scope: Mapping[str, Any]) -> Caller:
        """Return who sent a request to a mounted application."""
        return caller_of(scope)

    def is_owner(self, headers: Mapping[str, str], client: str) -> bool:
        """Return whether the admin token came from this machine; what its sender does is the owner's then."""
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if not given:
            return False
        token = self._gateway.token
        equal = token != "" and hmac.compare_digest(given.strip().encode(), token.encode())
        here = _is_here(client) and not _FORWARDED & headers.keys()
        if not (equal and scheme.lower() == "bearer" and here):
            self._refusals.add(client, headers.get("x-request-id", ""))
            return False
        act_as(Actor("admin", token=fingerprint(token), address=client))
        return True

    # --- what is asked -------------------------------------------------------------------

    async def predict(
        self,
        reference: str,
        body: bytes | memoryview,
        *,
        media_type: str = "",
        accept: str = "",
        timeout_s: float = 0.0,
        request: str = "",
        no_store: bool = False,
        headers: Mapping[str, str] | None = None,
        client: str = "",
        admitted: Entry | None = None,
    ) -> Prediction:
        """Return the answer to ``body``; whoever is cancelled waits for it no more, nor does the runtime."""
        lane = self._gateway.service.lane(reference)
        head = Head(media_type, accept, cached=not no_store)

        def sender() -> Sender:
            address, caller = (admitted.call.client, admitted.caller.id) if admitted else (client, "")
            return Sender(headers or {}, address, caller)

        return await lane.predict(head, body, timeout_s, request, sender)

    def served(self, caller: Caller = NOBODY) -> Sequence[Served]:
        """Return all versions that a caller may see."""
        known = sorted(self._registry.versions(), key=lambda v: (v.manifest.model, v.manifest.version))
        return [self._told(version) for version in known if caller.may("read", version.manifest.model)]

    def find(self, reference: str) -> Served:
        """Return what a reference means, in whatever state; `ModelNotFound` where it means nothing."""
        found = self._told(self._registry.find(reference))
        together = self._registry.together(reference)
        return found if together is None else attrs.evolve(found, signature=together.signature)

    async def start(self, model: str, version: int | None = None) -> None:
        """Bring a version up; without a number all that the model's aliases mean. For the owner alone."""
        await self._gateway.start(model, version)

    async def stop(self, model: str, version: int | None = None) -> None:
        """Take a version, or all of a model's, out of service. For the owner alone."""
        await self._gateway.stop(model, version)

    async def statistics(self, model: str = "", version: int | None = None) -> Sequence[Statistics]:
        """Return the statistics of all versions, of a model's, or of one."""
        return await self._gateway.statistics(model, version)

    def _told(self, version: Version) -> Served:
        manifest, signature = version.manifest, version.signature
        aliases = self._registry.model(manifest.model).aliases
        joined = manifest.row_independent and (signature is None or signature.batch_axis)
        return Served(
            manifest.model,
            manifest.version,
            str(version.state),
            unserved(version),
            manifest.loader,
            tuple(alias for alias, number in aliases.items() if number == manifest.version),
            signature,
            manifest.batching.max_batch_rows if joined else 0,
            version.lane is not None and version.lane.cache is not None,
        )


def _is_here(client: str) -> bool:
    """Return whether an address is one of this machine's own."""
    try:
        address = ip_address(client)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
