"""asyncssh's errors as the two that a link knows: tried again, or not before the owner does something."""

from __future__ import annotations

import os

import asyncssh

from prism_core.plugin import PrismError, TunnelFailed, TunnelRefused
from prism_tunnel.ssh.hosts import HostKey

LOGIN = (
    "Name a private key in `keys` or put it into the agent with ssh-add; "
    "its public key belongs into ~/.ssh/authorized_keys there."
)
# No one was reached, so no one minds if that is tried again soon: the network may be back.
AWAY = {"reached": False}


def fault_of(error: BaseException, place: str, login_hint: str = LOGIN) -> PrismError:
    """Return why there is no connection to ``place``; host keys that are not known have `host_key_fault`."""
    if isinstance(error, asyncssh.PermissionDenied | asyncssh.IllegalUserName):
        return TunnelRefused(f"{place} does not accept the login: {said(error)}.", hint=login_hint)
    if isinstance(error, asyncssh.HostKeyNotVerifiable):
        return TunnelRefused(f"The host key of {place} is not accepted: {said(error)}.")
    if isinstance(error, asyncssh.KeyExchangeFailed | asyncssh.ProtocolNotSupported):
        return TunnelRefused(f"{place} and PRISM have no way to speak to each other: {said(error)}.")
    if isinstance(error, TimeoutError):
        return TunnelFailed(f"{place} does not answer in time.", hint="It is tried again.", details=AWAY)
    away = AWAY if isinstance(error, OSError) else None
    return TunnelFailed(f"{place} cannot be reached: {said(error)}.", hint="It is tried again.", details=away)


def host_key_fault(key: HostKey, known: list[str], hint: str = "") -> TunnelRefused:
    """Return why a server is not believed to be the one that was asked for."""
    tells = f"{key.fingerprint} ({key.algorithm})"
    trust = f"prism tunnel trust {key.place}"
    if known:
        return TunnelRefused(
            f"THE HOST KEY OF {key.place} HAS CHANGED: it shows {tells}, known is {', '.join(known)}. "
            "Somebody may be listening in between, or the server was set up anew.",
            hint=hint or f"Only if its owner confirms the new key: {trust}",
        )
    return TunnelRefused(
        f"The host key of {key.place} is not known: {tells}.",
        hint=hint or f"Compare it with what the server's owner tells, then: {trust}",
    )


def said(error: BaseException) -> str:
    """Return what an error says, as the part of a sentence."""
    text = getattr(error, "reason", "") or str(error)
    if isinstance(error, OSError):  # asyncio's own text is "Connect call failed" and an address
        text = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or text
    return " ".join(str(text or type(error).__name__).split()).rstrip(".")
