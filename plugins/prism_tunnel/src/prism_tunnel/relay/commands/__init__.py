"""``prism relay``: run a relay, say who may use it, join one."""

from prism_tunnel.relay.commands.group import relay

__all__ = ["relay"]
