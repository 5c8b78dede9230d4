"""``plugins.cloudflared`` and its siblings: what the owner says of each program."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import attrs
from msgspec import Meta

Seconds = Annotated[float, Meta(gt=0)]


def _address(_: Any, field: attrs.Attribute[str], value: str) -> None:
    if value and not value.startswith(("http://", "https://")):
        raise ValueError(f"{field.name}: {value!r} begins with neither http:// nor https://.")


@attrs.frozen
class ProgramConfig:
    """What all of them have.

    Parameters
    ----------
    arguments
        More arguments for the program, behind PRISM's own.
    start_s
        How long it may take until it leads in.
    """

    arguments: tuple[str, ...] = ()
    start_s: Seconds = 30.0

    def lacks(self) -> str:
        """Return what has to be set before it can be used, "" if nothing."""
        return ""


@attrs.frozen
class CloudflaredConfig(ProgramConfig):
    """``plugins.cloudflared``.

    Parameters
    ----------
    tunnel
        The name of a tunnel of your account; "" is a quick tunnel, without an account and with another
        address each time.
    url
        The address that was routed to that tunnel.
    """

    tunnel: str = ""
    url: str = attrs.field(default="", validator=_address)

    def lacks(self) -> str:
        """Return what has to be set."""
        if bool(self.tunnel) == bool(self.url):
            return ""
        return "`plugins.cloudflared` needs both `tunnel` and `url`, or neither."


@attrs.frozen
class NgrokConfig(ProgramConfig):
    """``plugins.ngrok``.

    Parameters
    ----------
    authtoken
        What `ngrok config add-authtoken` would store; "" uses what that stored.
    url
        An address of your account; "" is the one that ngrok gives.
    """

    authtoken: str = attrs.field(default="", repr=False)
    url: str = attrs.field(default="", validator=_address)


@attrs.frozen
class ZrokConfig(ProgramConfig):
    """``plugins.zrok``.

    Parameters
    ----------
    name
        A name that you have reserved, ``NAMESPACE:NAME`` (zrok 2); "" is one that zrok gives.
    """

    name: str = ""


@attrs.frozen
class TailscaleConfig(ProgramConfig):
    """``plugins.tailscale``.

    Parameters
    ----------
    port
        Which of the ports that Funnel has.
    """

    port: Literal[443, 8443, 10000] = 443


@attrs.frozen
class FrpConfig(ProgramConfig):
    """``plugins.frp``.

    Parameters
    ----------
    server, server_port
        Where your frps is.
    token
        Its ``auth.token``.
    url
        The address that leads to its ``vhostHTTPPort``, with a name that is routed by.
    """

    server: str = ""
    server_port: Annotated[int, Meta(ge=1, le=65535)] = 7000
    token: str = attrs.field(default="", repr=False)
    url: str = attrs.field(default="", validator=_address)

    def lacks(self) -> str:
        """Return what has to be set."""
        return "" if self.server and self.url else "`plugins.frp` needs `server` and `url`."
