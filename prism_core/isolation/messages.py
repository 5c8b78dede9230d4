"""What a gateway and a zygote say to each other: one msgpack message a packet, descriptors beside it."""

from __future__ import annotations

import msgspec

from prism_core.isolation.confine import Confines

MAX_MESSAGE_BYTES = 128 * 1024


class Fork(msgspec.Struct, tag="fork"):
    """Gateway -> zygote: warm the modules that are new, then fork a replica.

    Beside it three descriptors: the life line's read end, the log, the listener. ``spec`` is
    a `ReplicaSpec` as JSON, ``entry`` the runtime's ``module:function``.
    """

    id: int
    spec: bytes
    entry: str
    warm: tuple[str, ...]
    confines: Confines


class Forked(msgspec.Struct, tag="forked"):
    """Zygote -> gateway: the replica exists. Beside it a pidfd of it.

    ``pid`` is what the zygote calls it, here and in `Exited`; the gateway may
    see it under another number.
    """

    id: int
    pid: int


class Refused(msgspec.Struct, tag="refused"):
    """Zygote -> gateway: fork failed; ``reason`` is for people."""

    id: int
    reason: str


class Threaded(msgspec.Struct, tag="threaded"):
    """Zygote -> gateway: importing ``module`` started a thread, so this zygote must not fork any more.

    ``module`` is "" when there was a second thread before anything was imported.
    """

    id: int
    module: str


class Exited(msgspec.Struct, tag="exited"):
    """Zygote -> gateway: a replica has ended; ``code`` is negative for a signal."""

    pid: int
    code: int


encode = msgspec.msgpack.Encoder().encode
decode_request = msgspec.msgpack.Decoder(Fork).decode
decode_report = msgspec.msgpack.Decoder(Forked | Refused | Threaded | Exited).decode
