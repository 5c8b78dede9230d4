"""Which link provider ``--tunnel auto`` means: the first, by rank, that comes up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping

from prism_core.errors import PrismError, TunnelFailed
from prism_core.gateway.tunnel import reason_of
from prism_core.gateway.views import TunnelInfo
from prism_core.specs import LinkProvider

# How long each has until the next one is tried.
AUTO_S = 30.0


async def first_that_works(
    providers: Iterable[LinkProvider],
    ensure: Callable[[str, float], Awaitable[TunnelInfo]],
    release: Callable[[str], Awaitable[None]],
) -> TunnelInfo:
    """Return the first that is up; what did not come up is let go.

    Raises
    ------
    TunnelFailed
        If none is; ``details["reasons"]`` says why.
    """
    reasons: dict[str, str] = {}
    for provider in ranked(providers):
        reason, info = provider.available(), None
        if not reason:
            reason, info = await _tried(provider.name, ensure)
        if info is not None and info.state == "up":
            return info
        reasons[provider.name] = reason
        await release(provider.name)
    raise nothing_works(reasons)


async def _tried(
    name: str, ensure: Callable[[str, float], Awaitable[TunnelInfo]]
) -> tuple[str, TunnelInfo | None]:
    try:
        info = await ensure(name, AUTO_S)
    except PrismError as error:  # its settings are wrong, which must not keep others from being tried
        return reason_of(error), None
    return info.reason or f"It was not up within {AUTO_S:g} s.", info


def ranked(providers: Iterable[LinkProvider]) -> list[LinkProvider]:
    """Return those that are tried, in their order."""
    return sorted((one for one in providers if one.rank > 0), key=lambda one: (one.rank, one.name))


def nothing_works(reasons: Mapping[str, str]) -> TunnelFailed:
    """Return the error where none came up."""
    told = " ".join(f"{name}: {reason}" for name, reason in reasons.items())
    return TunnelFailed(
        f"No tunnel came up. {told}" if reasons else "No plugin offers a tunnel.",
        hint="`--tunnel lan` shares in the local network; `prism doctor` says what each tunnel needs.",
        details={"reasons": dict(reasons)},
    )
