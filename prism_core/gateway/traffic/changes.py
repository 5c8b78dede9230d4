"""Every change of where a model's traffic goes is one row: what was, what is, who did it and why.

Plain values and their SQL; `prism_core.gateway.records` runs it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
import msgspec
import structlog

from prism_core.traffic.route import Route

# Of one model. As many as somebody looks at, and a guard that goes back and forth must not fill the disk.
KEPT_CHANGES = 1000

SET_ALIAS = (
    "insert into alias(model, alias, version) values($1, $2, $3)"
    " on conflict(model, alias) do update set version = excluded.version"
)

Statement = tuple[str, Sequence[Any]]

log = structlog.get_logger("prism.routes")


@attrs.frozen
class Ways:
    """Where the traffic of a model goes.

    ``aliases`` but ``latest``; ``ceiling`` is where ``latest`` is held down, None for nowhere. ``latest`` is
    what it meant, None where nothing was served.
    """

    route: Route | None = None
    aliases: Mapping[str, int] = attrs.field(factory=dict)
    ceiling: int | None = None
    latest: int | None = None


@attrs.frozen
class Change:
    """One change of where the traffic of a model goes.

    Parameters
    ----------
    seq
        Its number among the changes of all models; 0: it is not stored yet.
    at
        In Unix seconds.
    actor
        ``admin``, ``guard``, ``settings``, or ``server``.
    action
        As in the audit log: ``route.set``, ``alias.set``, ``model.rollback``, ``route.undo`` ...
    why
        In words, "" where nobody said.
    revision
        Of the model's route from then on; 0: the number of this change.
    undoes
        The number of the change that it takes back.
    """

    at: float
    model: str
    actor: str
    action: str
    before: Ways
    after: Ways
    why: str = ""
    revision: int = 0
    undoes: int | None = None
    seq: int = 0

    def numbered(self, seq: int) -> Change:
        """Return it with its number."""
        return attrs.evolve(self, seq=seq, revision=self.revision or seq)


def statements(change: Change) -> Iterator[Statement]:
    """Yield what stores a change that has its number."""
    model, after = change.model, change.after
    add = (
        "insert into route_change(seq, at, model, actor, action, why, before, after, undoes)"
        " values($1, $2, $3, $4, $5, $6, $7, $8, $9)"
    )
    ways = (_text(change.before), _text(after))
    yield add, (change.seq, change.at, model, change.actor, change.action, change.why, *ways, change.undoes)
    trim = (
        "delete from route_change where model = $1 and seq not in"
        " (select seq from route_change where model = $1 order by seq desc limit $2)"
    )
    yield trim, (model, KEPT_CHANGES)
    route = msgspec.json.encode(after.route).decode() if after.route else None
    led = "update model set ceiling = $2, route = $3, revision = $4 where name = $1"
    yield led, (model, after.ceiling, route, change.revision)
    for alias in change.before.aliases.keys() - after.aliases.keys():
        yield "delete from alias where model = $1 and alias = $2", (model, alias)
    for alias, version in after.aliases.items() - change.before.aliases.items():
        yield SET_ALIAS, (model, alias, version)


def forget(model: str) -> list[Statement]:
    """Return what forgets a model's changes and states.

    The newest number of all is kept, under no name, so that none is given twice.
    """
    return [
        ("update route_change set model = '' where model = $1", (model,)),
        ("delete from route_change where model = '' and seq < (select max(seq) from route_change)", ()),
        ("delete from traffic_state where model = $1", (model,)),
    ]


# What `change_of` reads.
_COLUMNS = "select at, model, actor, action, before, after, why, undoes, seq from route_change"
SELECT = f"{_COLUMNS} where model <> '' and ($1 = '' or model = $1) order by seq desc limit $2"
SELECT_ONE = f"{_COLUMNS} where model = $1 and seq = $2"


def change_of(row: Sequence[Any]) -> Change | None:
    """Return a row of `SELECT` as a change; one that this PRISM cannot read is told, and None."""
    at, model, actor, action, before, after, why, undoes, seq = row
    try:
        was, then = (msgspec.json.decode(text, type=Ways) for text in (before, after))
    except msgspec.MsgspecError as error:
        log.warning("route.change_unreadable", model=model, seq=seq, error=str(error))
        return None
    return Change(at, model, actor, action, was, then, why=why, undoes=undoes, seq=seq)


def route_of(model: str, text: str | None) -> Route | None:
    """Return the stored route of a model; one that this PRISM cannot read is told, and not followed."""
    try:
        return msgspec.json.decode(text, type=Route) if text else None
    except msgspec.MsgspecError as error:
        log.error("route.unreadable", model=model, error=str(error))
        return None


def _text(ways: Ways) -> str:
    return msgspec.json.encode(ways).decode()
