"""Give each model the users that no other model on this Podman has, whichever server it is of."""

from __future__ import annotations

import asyncio
from functools import partial

from prism_podman import containers
from prism_podman.creating import BLOCK, SERVER
from prism_podman.engine import Engine
from prism_podman.ids import Ids, blocks, choose, ids


class Blocks:
    """The blocks of one server's models; one that a model was given it keeps."""

    def __init__(self, engine: Engine, namespace: str) -> None:
        self._engine = engine
        self._namespace = namespace
        self._of: dict[str, int] = {}
        self._choosing = asyncio.Lock()

    async def ids(self, model: str) -> Ids:
        """Return the users of a model."""
        facts = self._engine.facts
        async with self._choosing:
            if model not in self._of:
                taken = await self._others() | set(self._of.values())
                count = blocks(facts.rootless, facts.numbers)
                self._of[model] = choose(f"{self._namespace}/{model}", taken, count)
        return ids(self._of[model], facts.rootless, facts.numbers)

    async def _others(self) -> set[int]:
        """Return the blocks that containers of other servers have."""
        found = await self._engine.call(partial(containers.listed, labels={BLOCK: ""}))
        labels = [one["Labels"] for one in found]
        return {int(one[BLOCK]) for one in labels if one.get(SERVER) != self._namespace}
