"""In which order packages lie in an image, so that images share what they have in common.

Two images share a layer if it and all below it are equal. So what others are built on lies lowest
(numpy under scipy under scikit-learn), each large package is a layer, the small ones are one
together, and PRISM's own, which change most, are the last.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

import attrs

from prism_podman.images.selection import Package

# Part of every layer's key and image's tag: raise it where the same packages would give another image.
GENERATOR = 1
# Below this a layer of its own costs more than it saves: each is a directory that the kernel stacks.
LARGE_BYTES = 8 * 1024 * 1024
MOST = 12


@attrs.frozen
class Layer:
    """Packages that lie in one layer, and what progress calls it."""

    title: str
    packages: tuple[Package, ...]

    @property
    def size_bytes(self) -> int:
        """The size of its files."""
        return sum(package.size_bytes for package in self.packages)

    def key(self, python: str, owner: int) -> str:
        """Return what two layers have in common that hold the same, without a look into their files."""
        packages = [
            [one.name, one.version, one.size_bytes, sorted(one.platforms), one.digest]
            for one in self.packages
        ]
        content = json.dumps([GENERATOR, python, owner, packages])
        return hashlib.sha256(content.encode()).hexdigest()[:16]


def layered(packages: Sequence[Package]) -> tuple[Layer, ...]:
    """Return the layers of an image, the lowest first; the same packages give the same layers."""
    depths = depths_of({package.name: package.requires for package in packages})
    ordered = sorted(packages, key=lambda one: (depths[one.name], -one.size_bytes, one.name))
    third = [one for one in ordered if not one.own]
    largest = sorted(third, key=lambda one: (-one.size_bytes, one.name))[:MOST]
    large = [one for one in third if one in largest and one.size_bytes >= LARGE_BYTES]
    small = tuple(sorted((one for one in third if one not in large), key=lambda one: one.name))
    own = tuple(sorted((one for one in ordered if one.own), key=lambda one: one.name))
    layers = [Layer(f"{one.name} {one.version}", (one,)) for one in large]
    layers += [Layer(f"{len(small)} smaller packages", small)] if small else []
    return (*layers, *([Layer("PRISM's runtime", own)] if own else ()))


def depths_of(requires: Mapping[str, frozenset[str]]) -> dict[str, int]:
    """Return for each name how many names stand on top of each other below it; a circle counts once."""
    depths: dict[str, int] = {}

    def depth(name: str, above: frozenset[str]) -> int:
        if name not in depths:
            inner = above | {name}
            below = sorted((requires[name] & requires.keys()) - inner)
            depths[name] = max((depth(one, inner) + 1 for one in below), default=0)
        return depths[name]

    for name in sorted(requires):
        depth(name, frozenset())
    return depths
