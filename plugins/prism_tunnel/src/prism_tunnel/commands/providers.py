"""The providers of this plugin as commands see them: with their settings, and with what they lack."""

from __future__ import annotations

from typing import Any

import attrs

from prism_core.plugin import CommandLine, ConfigError, LinkProvider
from prism_tunnel import prism_link_providers


@attrs.frozen
class Way:
    """A link provider, its settings, and why it cannot be used: "" if it can."""

    provider: LinkProvider
    config: Any
    reason: str


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
    return Way(provider, config, provider.available() or lacks())
