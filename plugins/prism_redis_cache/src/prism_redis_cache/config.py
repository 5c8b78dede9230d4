"""``plugins.redis``: where Redis is, and what may be kept there."""

from __future__ import annotations

from typing import Annotated

import attrs
from msgspec import Meta

from prism_core.plugin import Bytes

MB = 1024 * 1024


@attrs.frozen
class RedisConfig:
    """The settings of the cache ``redis``, and of the rate store of that name.

    Parameters
    ----------
    url
        ``redis://``, ``rediss://`` (TLS) or ``unix://``, with user, password and database.
    namespace
        What the keys of this server begin with; servers of one namespace share answers and limits. "" is
        replaced by the server's own id.
    max_value
        A larger answer is not stored, and not read.
    connections
        How many connections are held.
    """

    url: str = attrs.field(default="redis://127.0.0.1:6379/0", repr=False)  # it may hold a password
    namespace: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{0,64}$")] = ""
    max_value: Bytes = MB
    connections: Annotated[int, Meta(ge=1, le=64)] = 2
