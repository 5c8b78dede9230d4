"""Give links an address that can be sent to a friend: SSH, a relay of one's own, and other programs.

The plugin itself: it describes the link providers and imports none of their libraries.
"""

from __future__ import annotations

from collections.abc import Iterator

from prism_core.plugin import LinkProvider, hookimpl

__version__ = "0.1.0"


@hookimpl
def prism_link_providers() -> Iterator[LinkProvider]:
    """Offer the tunnels."""
    yield from ()
