"""What the leader has learned of routes and must know again after a restart, as JSON texts.

One row for each model, kind, name and revision of the route: a posterior, a test's sums, a keep-warm time.
All of it goes with its model.
"""

from __future__ import annotations

import attrs

from prism_core.gateway.records import Records


@attrs.frozen
class State:
    """One state. ``text`` is JSON; whose it is says what is in it."""

    model: str
    kind: str
    name: str
    revision: int
    text: str


@attrs.frozen(eq=False)
class States:
    """The table of states."""

    records: Records

    async def save(self, *states: State, durable: bool = False) -> None:
        """Store states, each instead of the one before; ``durable``: they outlive a power cut.

        A state of a model that is gone meanwhile is not stored.
        """
        sql = (
            "insert into traffic_state(model, kind, name, revision, state)"
            " select $1, $2, $3, $4, $5 where exists (select 1 from model where name = $1)"
            " on conflict(model, kind, name, revision) do update set state = excluded.state"
        )
        await self.records.write(*((sql, attrs.astuple(state)) for state in states), durable=durable)

    async def load(self, kind: str, model: str = "") -> list[State]:
        """Return the states of a kind, of one model or of all, the oldest revision first."""
        sql = (
            "select model, kind, name, revision, state from traffic_state"
            " where kind = $1 and ($2 = '' or model = $2) order by revision, model, name"
        )
        return [State(*row) for row in await self.records.read(sql, kind, model)]

    async def forget(self, kind: str, model: str, name: str = "", *, below: int | None = None) -> None:
        """Forget states of a kind: of all names or one, of all revisions or those below one."""
        sql = (
            "delete from traffic_state where kind = $1 and model = $2"
            " and ($3 = '' or name = $3) and ($4 is null or revision < $4)"
        )
        await self.records.write((sql, (kind, model, name, below)), durable=False)
