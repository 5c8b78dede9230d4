"""``plugins.ssh`` and its siblings: what the owner says of each way out."""

from __future__ import annotations

import string
from typing import Annotated, Any

import attrs
from msgspec import Meta

from prism_tunnel.ssh.places import parse_place

Port = Annotated[int, Meta(ge=0, le=65535)]
Seconds = Annotated[float, Meta(gt=0)]
KNOWN_HOSTS = ("~/.ssh/known_hosts", "/etc/ssh/ssh_known_hosts")


def _address(_: Any, field: attrs.Attribute[str], value: str) -> None:
    """Refuse what is no base URL, or asks for more than host and port."""
    if not value:
        return
    if not value.startswith(("http://", "https://")):
        raise ValueError(f"{field.name}: {value!r} begins with neither http:// nor https://.")
    names = {name for _, name, _, _ in string.Formatter().parse(value) if name is not None}
    if names - {"host", "port"}:
        raise ValueError(f"{field.name}: {value!r} may hold {{host}} and {{port}}, nothing else in braces.")


def _machine(_: Any, field: attrs.Attribute[str], value: str) -> None:
    """Refuse what is more than the name of a machine: user and port have settings of their own."""
    if "@" in value or "/" in value or value.count(":") == 1:
        raise ValueError(f"{field.name}: {value!r} is not just a machine's name; see `user` and `port`.")


def _places(_: Any, field: attrs.Attribute[tuple[str, ...]], value: tuple[str, ...]) -> None:
    """Refuse what names no server."""
    for text in value:
        try:
            parse_place(text.rpartition("@")[2])
        except ValueError as error:
            raise ValueError(f"{field.name}: {error}") from error


@attrs.frozen
class SshConfig:
    """The settings of the link provider ``ssh``.

    Parameters
    ----------
    host, port, user
        The SSH server, as in ``ssh -p PORT USER@HOST``; without ``user`` the name of this account.
    keys
        Files of private keys; none is those that ssh takes by itself.
    agent
        Whether the agent at ``SSH_AUTH_SOCK`` is asked.
    known_hosts
        Files of host keys that are believed, beside those that `prism tunnel trust` stored.
    config_file
        A file like ``~/.ssh/config`` that is read first; "" reads none.
    jump
        Servers to go through, ``USER@HOST:PORT``, the nearest first.
    remote_host
        Where the server listens for us: an address of it, "localhost", "*" for all; "" is "localhost"
        where ``url`` is set, since then something there passes requests on, and all where it is not.
    remote_port
        On which port; 0 is one that the server chooses.
    url
        The address under which that is reached; "" is ``http://{host}:{port}``.
    connect_s
        How long it may take to be logged in.
    keepalive_s, keepalive_count
        A server that says nothing is asked every so many seconds; the connection is given up when so many
        questions are not answered.
    data_dir
        Below it lie the host keys that were trusted. "" is replaced by the server's own.
    """

    host: str = attrs.field(default="", validator=_machine)
    port: Port = 0
    user: str = ""
    keys: tuple[str, ...] = ()
    agent: bool = True
    known_hosts: tuple[str, ...] = KNOWN_HOSTS
    config_file: str = ""
    jump: tuple[str, ...] = attrs.field(default=(), validator=_places)
    remote_host: str = ""
    remote_port: Port = 0
    url: str = attrs.field(default="", validator=_address)
    connect_s: Seconds = 15.0
    keepalive_s: Seconds = 3.0
    keepalive_count: Annotated[int, Meta(ge=1)] = 5
    data_dir: str = ""

    def lacks(self) -> str:
        """Return what has to be set before it can be used, "" if nothing."""
        return "" if self.host else "`plugins.ssh.host` names no server."


@attrs.frozen
class ServiceConfig:
    """The settings of a public service: ``plugins.pinggy`` and so on.

    Parameters
    ----------
    host, port
        Where it is, where that is not what is built in.
    user
        As whom to log in; "" is nobody in particular.
    token
        What an account of the service gives to log in with, instead of ``user``.
    keys, agent
        Files of private keys, and whether the agent is asked: none, since strangers need not know them.
    name
        The name or domain that is asked for, where the service gives some.
    known_hosts
        As of ``plugins.ssh``.
    connect_s, keepalive_s, keepalive_count
        As of ``plugins.ssh``.
    data_dir
        As of ``plugins.ssh``.
    """

    host: str = attrs.field(default="", validator=_machine)
    port: Port = 0
    user: str = ""
    token: str = attrs.field(default="", repr=False)
    keys: tuple[str, ...] = ()
    agent: bool = False
    name: str = ""
    known_hosts: tuple[str, ...] = KNOWN_HOSTS
    connect_s: Seconds = 15.0
    keepalive_s: Seconds = 15.0
    keepalive_count: Annotated[int, Meta(ge=1)] = 3
    data_dir: str = ""
