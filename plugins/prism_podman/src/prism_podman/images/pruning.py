"""Which images nobody needs any more. Pure: what Podman has and what is wanted are given."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from prism_podman.images.containerfile import BASE, KIND, SERVER
from prism_podman.images.store import Stored


def unwanted(images: Iterable[Stored], server: str, wanted: Collection[str]) -> list[Stored]:
    """Return the images that can go, those of environments before the bases below them.

    Of environments: those of this ``server`` whose tag is not ``wanted``. Of bases: those that lost
    their name to a newer one and that no image which stays begins with. All others are someone's.
    """
    images = list(images)
    environments = [one for one in images if one.labels.get(KIND) == "environment"]
    going = [one for one in environments if is_own(one, server) and not set(one.tags) & set(wanted)]
    staying = [one for one in images if one not in going]
    needed = {one.labels.get(BASE) for one in staying}
    bases = [one for one in staying if one.labels.get(KIND) == "base" and not one.tags]
    return going + [one for one in bases if one.id not in needed]


def is_own(image: Stored, server: str) -> bool:
    """Tell whether an image was made by this server."""
    return bool(server) and image.labels.get(SERVER) == server
