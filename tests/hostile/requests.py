"""Request number so and so of a seed: the same bytes each time, without those before it."""

from __future__ import annotations

import random

import attrs

from tests.hostile import bodies, trees
from tests.hostile.drafts import HEADER, good

SPOILERS = trees.SPOILERS | bodies.SPOILERS
# How often: what is spoilt at random has more to find; a bomb costs the server what a thousand others do.
WEIGHTS = {
    name: {"mutated": 8.0, "damaged packed": 2.0, "deep": 0.3, "bomb": 0.1}.get(name, 1.0)
    for name in SPOILERS
}
SHOWN_BYTES = 3000


@attrs.frozen
class Case:
    """A request, how it was spoilt, and whether it must be refused."""

    seed: int
    number: int
    kind: str
    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    wrong: bool

    def raw(self) -> bytes:
        """Return its bytes."""
        lines = [f"{self.method} {self.path} HTTP/1.1", "Host: prism", f"Content-Length: {len(self.body)}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogatepass") + self.body

    def __str__(self) -> str:
        shown = repr(self.body[:SHOWN_BYTES]) + ("..." if len(self.body) > SHOWN_BYTES else "")
        return (
            f"requests.case({self.seed}, {self.number}), {self.kind}: {self.method} {self.path[:300]} "
            f"{self.headers} {len(self.body)} bytes {shown}"
        )


def case(seed: int, number: int) -> Case:
    """Return one request."""
    chance = random.Random(f"{seed}/{number}")
    (kind,) = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))
    draft = good(chance)
    wrong = bool(SPOILERS[kind](draft, chance))
    body = draft.written()
    if HEADER in dict(draft.headers) or draft.said("Content-Type") is None:
        draft.headers.insert(
            0, ("Content-Type", "application/octet-stream" if draft.raws else "application/json")
        )
    return Case(seed, number, kind, draft.method, draft.path, tuple(draft.headers), body, wrong)
