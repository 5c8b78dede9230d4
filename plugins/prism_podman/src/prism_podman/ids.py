"""Which users a container has: a block of numbers for each model, which no other model has. Pure.

A user namespace makes storage copy an image and hand each of its files over to the numbers of that
namespace, once for every namespace: seconds and the image's size. Two ways lead around it. As root the
kernel maps one whole range without a copy. Without root nothing is copied if an image's files
have the same owner inside and outside: so all files of an image belong to `IMAGE_OWNER`, whom every
model's namespace knows under that number, beside the model's own block.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from typing import Any

import attrs

# Between the users of systems and 65534, nobody; within the 65536 that a user commonly is given.
IMAGE_OWNER = 65530
# Who runs inside.
USER = 200
# As root: from here on nobody else gives numbers out; `containers` in /etc/subuid is there by custom.
ROOTS_FIRST = 1 << 31
ROOTS_BLOCK = 1 << 16
# Without root: more than a distribution's own users have. 255 models at a time have one each.
BLOCK = 256


@attrs.frozen
class Ids:
    """The users of one model's containers.

    Parameters
    ----------
    block
        The number of the model's block.
    user
        Who runs inside, as Podman takes it.
    mapping
        The user namespace of its own; () where there are too few numbers for one.
    """

    block: int
    user: str
    mapping: tuple[dict[str, int], ...] = ()

    def arguments(self) -> dict[str, Any]:
        """Return what podman-py's ``create`` takes for it."""
        if not self.mapping:
            return {"user": self.user}
        entries = [dict(entry) for entry in self.mapping]
        return {
            "user": self.user,
            # The mode alone, as a string, would give no namespace and no error.
            "userns_mode": "private",
            "idmappings": {
                "UIDMap": entries,
                "GIDMap": entries,
                "HostUIDMapping": False,
                "HostGIDMapping": False,
            },
        }


def blocks(rootless: bool, available: int) -> int:
    """Return how many models can have a block of their own; ``available`` are a plain user's numbers."""
    if not rootless:
        return ((1 << 32) - 1 - ROOTS_FIRST) // ROOTS_BLOCK
    if available > IMAGE_OWNER:
        return (IMAGE_OWNER - 1) // BLOCK
    return max(1, available - 1)


def ids(block: int, rootless: bool, available: int) -> Ids:
    """Return the users of the model that has ``block``."""
    if not rootless:
        first = ROOTS_FIRST + block * ROOTS_BLOCK
        return Ids(block, f"{USER}:{USER}", (_entry(0, first, ROOTS_BLOCK),))
    if available > IMAGE_OWNER:
        own = _entry(0, 1 + block * BLOCK, BLOCK)
        return Ids(block, f"{USER}:{USER}", (own, _entry(IMAGE_OWNER, IMAGE_OWNER, 1)))
    return Ids(block, f"{1 + block}:{1 + block}")


def available(mappings: Iterable[dict[str, Any]] | None) -> int:
    """Return how many numbers Podman has, from what it says of its own mapping; 0 as root."""
    return sum(int(entry["size"]) for entry in mappings or ())


def choose(model: str, taken: Collection[int], count: int) -> int:
    """Return the block of a model: always the same one, unless another model has that now."""
    start = int.from_bytes(hashlib.sha256(model.encode()).digest()[:8], "big") % count
    free = ((start + step) % count for step in range(count))
    return next((block for block in free if block not in taken), start)


def _entry(inside: int, outside: int, size: int) -> dict[str, int]:
    return {"container_id": inside, "host_id": outside, "size": size}
