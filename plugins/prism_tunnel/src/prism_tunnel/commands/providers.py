"""The providers of this plugin as commands see them: with their settings, and with what they lack."""

from __future__ import annotations

from typing import Any

import attrs

from prism_core.plugin import CommandLine, ConfigError, LinkProvider
from prism_tunnel import prism_link_providers
from prism_tunnel.config import ServiceConfig, SshConfig
from prism_tunnel.ssh.places import SSH_PORT, place_of
from prism_tunnel.ssh.services import SERVICES


@attrs.frozen
class Way:
    """A link provider, its settings, and why it cannot be used: "" if it can."""

    provider: LinkProvider
    config: Any
    reason: str

    def settings(self) -> dict[str, Any]:
        """Return what was set, without secrets."""
        shown = [one for one in attrs.fields(type(self.config)) if one.repr and one.name != "data_dir"]
        said = {one.name: getattr(self.config, one.name) for one in shown}
        return {one.name: said[one.name] for one in shown if said[one.name] != one.default}


def ways(cli: CommandLine) -> list[Way]:
    """Return all, in the order in which `auto` tries them."""
    return [_way(cli, one) for one in sorted(prism_link_providers(), key=lambda one: one.rank)]


def way(cli: CommandLine, name: str) -> Way:
    """Return one; `ConfigError` if there is none of that name."""
    for provider in prism_link_providers():
        if provider.name == name:
            return _way(cli, provider)
    known = ", ".join(sorted(one.name for one in prism_link_providers()))
    raise ConfigError(f"There is no tunnel {name!r}.", hint=f"There are: {known}.")


def _way(cli: CommandLine, provider: LinkProvider) -> Way:
    config: Any = cli.config(provider.name, provider.config)
    # A configuration may say what has to be set before it can be used at all.
    lacks = getattr(config, "lacks", lambda: "")
    return Way(provider, config, provider.available() or lacks() or _untrusted(provider.name, config))


def _untrusted(name: str, config: Any) -> str:
    """Return that nobody has trusted the server that a tunnel goes through, "" if somebody has."""
    service = next((one for one in SERVICES if one.name == name), None)
    if isinstance(config, ServiceConfig) and service:
        host, port = config.host or service.host, config.port or service.port
    elif isinstance(config, SshConfig) and not config.config_file:
        host, port = config.host, config.port or SSH_PORT
    else:
        return ""
    from prism_tunnel.ssh.hosts import KnownHosts

    known = KnownHosts.of(config.data_dir, config.known_hosts).read()
    keys, authorities, *_ = known.match(host, "", port if port != SSH_PORT else None)
    place = place_of(host, port)
    return (
        "" if keys or authorities else f"The host key of {place} is not trusted: prism tunnel trust {place}"
    )
