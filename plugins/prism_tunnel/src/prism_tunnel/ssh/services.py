"""Public services that lead SSH tunnels to an address of theirs, and print it.

One row each, by what the service's own documentation says. They are strangers: they see tokens and
data of links, may change the rules, and their host keys are trusted by nobody but the owner of this
machine, with ``prism tunnel trust``.
"""

from __future__ import annotations

import re

import attrs

from prism_tunnel.ssh.places import place_of


@attrs.frozen
class Service:
    """A public service.

    Parameters
    ----------
    name, rank
        As a link provider.
    host, port, user
        Where to log in, and as whom without an account.
    remote_port
        What is asked to be forwarded.
    announced
        How its address stands in the text that it prints: the group "url".
    forwards
        The header in which it says that it tells the caller's address, "" where it does not say so.
    docs
        Where this is written.
    """

    name: str
    rank: int
    host: str
    port: int
    user: str
    remote_port: int
    announced: re.Pattern[str]
    forwards: str
    docs: str

    def about(self) -> str:
        """Return what it is."""
        return f"a public service by SSH: prism tunnel trust {place_of(self.host, self.port)}"


SERVICES = (
    Service(
        *("localhost.run", 80, "localhost.run", 22, "nokey", 80),
        # 1f2e3d4c5b6a.lhr.life tunneled with tls termination, https://1f2e3d4c5b6a.lhr.life
        re.compile(r"tunneled with tls termination, (?P<url>https://[A-Za-z0-9.-]+)"),
        *("x-forwarded-for", "https://localhost.run/docs/"),
    ),
    Service(
        *("pinggy", 81, "a.pinggy.io", 443, "prism", 0),
        # http://rnckk-198-51-100-7.a.free.pinggy.link and a second line with https
        re.compile(r"(?P<url>https://[A-Za-z0-9.-]+\.pinggy\.(?:link|net|online))(?![A-Za-z0-9.-])"),
        *("", "https://pinggy.io/docs/usages/"),
    ),
    Service(
        *("serveo", 82, "serveo.net", 22, "prism", 80),
        # Forwarding HTTP traffic from https://relego.serveo.net
        re.compile(r"Forwarding HTTP traffic from (?P<url>https://[A-Za-z0-9.-]+)"),
        *("", "https://serveo.net/"),
    ),
)
