"""The registry's rows: what must survive the process.

SQLite in WAL mode on one writer thread. The SQL is plain and numbered (``$1``), so the
same text serves PostgreSQL. A version's row is written once, when the version is ready,
in one transaction with what points to it: there is no half-uploaded version to find.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import attrs
import msgspec

from prism_core.errors import ConfigError
from prism_core.gateway.callers import keys, link
from prism_core.gateway.callers.keys import Key
from prism_core.gateway.callers.link import Link
from prism_core.gateway.disk import database_error
from prism_core.gateway.store import Checkpoint, passing
from prism_core.gateway.traffic import changes
from prism_core.gateway.traffic.changes import Change, Statement
from prism_core.gateway.use import Use
from prism_core.manifest import Manifest
from prism_core.protocols import ReplicaHandle
from prism_core.specs import ModelEvent
from prism_core.traffic.route import Route
from prism_core.types import Signature

# One entry a schema version; a new one is appended, never edited.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """create table model (
            name text primary key, last_version integer not null, ceiling integer,
            created double precision not null)""",
        """create table version (
            model text not null references model(name), version integer not null, digest text not null,
            manifest text not null, signature text not null, wanted integer not null,
            primary key (model, version))""",
        """create table alias (
            model text not null references model(name), alias text not null, version integer not null,
            primary key (model, alias))""",
        """create table event (
            seq bigint primary key, at double precision not null, name text not null, model text not null,
            version integer not null, facts text not null)""",
        """create table replica (
            replica text primary key, backend text not null, pid integer not null,
            started double precision not null, address text not null)""",
    ),
    (
        "alter table version add column last_used double precision not null default 0",
        "alter table version add column load_s double precision not null default 0",
        "alter table version add column own_bytes bigint not null default 0",
        """create table habit (
            model text not null, hour integer not null, week integer not null, calls bigint not null,
            primary key (model, hour, week))""",
    ),
    (
        "create table api_key (id text primary key, created double precision not null, key text not null)",
        """create table caller_use (
            caller text primary key, last_used double precision not null, spent bigint not null)""",
    ),
    ("create table link (slug text primary key, created double precision not null, link text not null)",),
    (
        "alter table model add column route text",
        "alter table model add column revision bigint not null default 0",
        """create table route_change (
            seq bigint primary key, at double precision not null, model text not null, actor text not null,
            action text not null, why text not null, before text not null, after text not null,
            undoes bigint)""",
        """create table traffic_state (
            model text not null, kind text not null, name text not null, revision bigint not null,
            state text not null, primary key (model, kind, name, revision))""",
    ),
)
# Enough to see what happened lately; a crash loop must not fill the disk.
KEPT_EVENTS = 10_000
# How long a write waits for another program that holds the database locked: one that somebody
# waits for, and one that nobody misses.
PATIENCE_MS, LITTLE_PATIENCE_MS = 5000, 200

Result = TypeVar("Result")


@attrs.frozen
class VersionRow:
    """One version as it is stored. ``wanted``: it is to be served whenever the gateway runs."""

    manifest: Manifest
    signature: Signature
    wanted: bool = True
    use: Use = attrs.field(factory=Use)


@attrs.frozen
class ModelRow:
    """One model as it is stored.

    ``last_version`` is the highest number ever given, so none is given twice. ``ceiling``
    is where a rollback holds ``latest`` down, None for nowhere. ``route`` and ``revision`` as in
    `prism_core.gateway.registry.Model`.
    """

    name: str
    last_version: int
    created: float
    ceiling: int | None = None
    versions: tuple[VersionRow, ...] = ()
    aliases: dict[str, int] = attrs.field(factory=dict)
    route: Route | None = None
    revision: int = 0


class Records:
    """An open database. Every method may be called from the event loop; none blocks it."""

    def __init__(
        self, connection: sqlite3.Connection, writer: ThreadPoolExecutor, checkpoint: Checkpoint
    ) -> None:
        self._connection = connection
        self._writer = writer
        self._checkpoint = checkpoint
        self._failed = False  # the last write did

    async def models(self) -> list[ModelRow]:
        """Return everything that is stored about models."""
        return await self._run(self._models)

    async def publish(
        self, row: VersionRow, aliases: Iterable[str] = (), change: Change | None = None
    ) -> Change | None:
        """Store a version together with the aliases that now point to it; a ceiling over ``latest`` ends.

        ``change`` is what that does to the traffic of a model that was there before, its aliases included; it
        is returned with its number.
        """
        manifest = row.manifest
        name, number = manifest.model, manifest.version
        model = (
            "insert into model(name, last_version, ceiling, created) values($1, $2, null, $3)"
            " on conflict(name) do update set last_version = excluded.last_version, ceiling = null"
        )
        version = (
            "insert into version(model, version, digest, manifest, signature, wanted)"
            " values($1, $2, $3, $4, $5, $6)"
        )
        texts = (manifest.to_json().decode(), msgspec.json.encode(row.signature).decode())
        statements = (
            (model, (name, number, manifest.created)),
            (version, (name, number, manifest.digest, *texts, int(row.wanted))),
        )
        if change:
            return await self.change(change, *statements)
        await self.write(*statements, *((changes.SET_ALIAS, (name, alias, number)) for alias in aliases))
        return None

    async def change(self, change: Change, *before: Statement) -> Change:
        """Store where a model's traffic goes from now on; return the change with its number."""
        return await self._run(lambda: self._changed(change, before))

    async def set_wanted(self, model: str, versions: Iterable[int], wanted: bool) -> None:
        """Store whether ``versions`` are to be served."""
        sql = "update version set wanted = $3 where model = $1 and version = $2"
        await self.write(*((sql, (model, version, int(wanted))) for version in versions))

    async def remove(self, model: str, versions: Iterable[int], *, whole: bool) -> None:
        """Forget ``versions``, and with ``whole`` the model itself."""
        sql = "delete from version where model = $1 and version = $2"
        statements: list[Statement] = [(sql, (model, version)) for version in versions]
        if whole:
            statements.append(("delete from alias where model = $1", (model,)))
            statements.append(("delete from model where name = $1", (model,)))
            statements += changes.forget(model)
        await self.write(*statements)

    async def replica_started(self, handle: ReplicaHandle) -> None:
        """Remember a process, so that a later gateway can find it."""
        sql = (
            "insert into replica(replica, backend, pid, started, address) values($1,$2,$3,$4,$5)"
            " on conflict(replica) do update set backend = excluded.backend, pid = excluded.pid,"
            " started = excluded.started, address = excluded.address"
        )
        values = (handle.replica, handle.backend, handle.pid, handle.started, handle.address)
        await self.write((sql, values), durable=False)

    async def replica_gone(self, replica: str) -> None:
        """Forget a process that has ended."""
        await self.write(("delete from replica where replica = $1", (replica,)), durable=False)

    async def replicas(self) -> list[ReplicaHandle]:
        """Return the processes that have been started and not been seen to end."""
        rows = await self._run(
            lambda: self._query("select replica, backend, pid, started, address from replica")
        )
        return [ReplicaHandle(*row) for row in rows]

    async def add_event(self, event: ModelEvent) -> None:
        """Store an event; the oldest beyond `KEPT_EVENTS` go."""
        add = (
            "insert into event(seq, at, name, model, version, facts)"
            " select coalesce(max(seq), 0) + 1, $1, $2, $3, $4, $5 from event"
        )
        trim = "delete from event where seq <= (select max(seq) from event) - $1"
        facts = msgspec.json.encode(event.facts).decode()
        values = (event.at, event.name, event.model, event.version, facts)
        await self.write((add, values), (trim, (KEPT_EVENTS,)), durable=False)

    async def events(self, limit: int = 100) -> list[ModelEvent]:
        """Return the newest events, the oldest of them first."""
        sql = "select name, model, version, at, facts from event order by seq desc limit $1"
        rows = await self._run(lambda: self._query(sql, limit))
        return [ModelEvent(n, m, v, at, msgspec.json.decode(facts)) for n, m, v, at, facts in reversed(rows)]

    async def save_uses(self, uses: Mapping[tuple[str, int], Use]) -> None:
        """Store how versions have been used."""
        sql = (
            "update version set last_used = $3, load_s = $4, own_bytes = $5"
            " where model = $1 and version = $2 and (last_used <> $3 or load_s <> $4 or own_bytes <> $5)"
        )
        values = [(*key, use.last, use.load_s, use.own_bytes) for key, use in uses.items()]
        await self.write(*((sql, value) for value in values), durable=False)

    async def add_habits(self, habits: Iterable[tuple[str, int, int, int]], oldest_week: int) -> None:
        """Add calls of a model in an hour of a week; forget weeks before ``oldest_week``."""
        sql = (
            "insert into habit(model, hour, week, calls) values($1, $2, $3, $4)"
            " on conflict(model, hour, week) do update set calls = habit.calls + excluded.calls"
        )
        forget = ("delete from habit where week < $1", (oldest_week,))
        await self.write(*((sql, habit) for habit in habits), forget, durable=False)

    async def habits(self, hour: int) -> list[tuple[str, int]]:
        """Return model and week of every use in an hour of the week."""
        sql = "select model, week from habit where hour = $1 order by model, week"
        return await self._run(lambda: self._query(sql, hour))

    # --- callers --------------------------------------------------------------------

    async def keys(self) -> list[Key]:
        """Return all API keys, the oldest first."""
        rows = await self._run(lambda: self._query("select key from api_key order by created, id"))
        return [msgspec.json.decode(key, type=Key) for (key,) in rows]

    async def add_key(self, key: Key) -> None:
        """Store a new API key."""
        sql = "insert into api_key(id, created, key) values($1, $2, $3)"
        await self.write((sql, (key.id, key.created, msgspec.json.encode(key).decode())))

    async def remove_key(self, key_id: str) -> None:
        """Forget an API key, and what was used with it."""
        await self.write(
            ("delete from api_key where id = $1", (key_id,)), (_FORGET_CALLER, (keys.caller_id(key_id),))
        )

    async def links(self) -> list[Link]:
        """Return all links, the oldest first."""
        rows = await self._run(lambda: self._query("select link from link order by created, slug"))
        return [msgspec.json.decode(text, type=Link) for (text,) in rows]

    async def add_link(self, made: Link) -> None:
        """Store a new link."""
        sql = "insert into link(slug, created, link) values($1, $2, $3)"
        await self.write((sql, (made.slug, made.created, msgspec.json.encode(made).decode())))

    async def remove_link(self, slug: str) -> None:
        """Forget a link, and what was used with it."""
        await self.write(
            ("delete from link where slug = $1", (slug,)), (_FORGET_CALLER, (link.caller_id(slug),))
        )

    async def caller_uses(self) -> list[tuple[str, float, int]]:
        """Return of each caller when it was last seen, 0.0 for unknown, and what it used of its quota."""
        return await self._run(lambda: self._query("select caller, last_used, spent from caller_use"))

    async def add_caller_uses(self, uses: Iterable[tuple[str, float, int]]) -> None:
        """Store when callers were last seen, and add to what they have used."""
        sql = (
            "insert into caller_use(caller, last_used, spent) values($1, $2, $3)"
            " on conflict(caller) do update set"
            " last_used = excluded.last_used, spent = caller_use.spent + excluded.spent"
        )
        await self.write(*((sql, use) for use in uses), durable=False)

    async def write(self, *statements: Statement, durable: bool = True) -> None:
        """Write in one transaction; ``durable``: it outlives a power cut."""
        await self._run(lambda: self._written(statements, durable))

    async def read(self, sql: str, *values: Any) -> list[Any]:
        """Return the rows of a question."""
        return await self._run(lambda: self._query(sql, *values))

    async def _run(self, call: Callable[[], Result]) -> Result:
        # Shielded: a caller that is cancelled must not leave it open whether its row was written.
        loop = asyncio.get_running_loop()
        return await asyncio.shield(loop.run_in_executor(self._writer, call))

    def _changed(self, change: Change, before: Iterable[Statement]) -> Change:
        try:
            ((seq,),) = self._query("select coalesce(max(seq), 0) + 1 from route_change")
        except sqlite3.DatabaseError as error:
            raise database_error(error) from error
        numbered = change.numbered(seq)
        self._written((*before, *changes.statements(numbered)), durable=True)
        return numbered

    def _written(self, statements: Iterable[Statement], durable: bool) -> None:
        try:
            self._transaction(statements, durable)
        except sqlite3.IntegrityError:  # a mistake of ours
            raise
        except sqlite3.DatabaseError as error:
            self._failed = True
            raise database_error(error) from error
        self._failed = False

    def _transaction(self, statements: Iterable[Statement], durable: bool) -> None:
        # An upload is rare and must be durable when it has been answered. What nobody misses after a
        # power cut is not waited for; a kill of this process loses neither.
        self._connection.execute(f"pragma busy_timeout = {self._patience_ms(durable)}")
        self._connection.execute(f"pragma synchronous = {'full' if durable else 'normal'}")
        self._connection.execute("begin immediate")
        try:
            for sql, values in statements:
                self._checkpoint("records.statement")
                self._query(sql, *values)
            self._checkpoint("records.commit")
            self._connection.execute("commit")
        except BaseException:
            if self._connection.in_transaction:  # SQLite ends it by itself when the disk is full
                self._connection.execute("rollback")
            raise
        self._checkpoint("records.committed")

    def _patience_ms(self, durable: bool) -> int:
        """Return how long a write may wait for another program that holds the database locked."""
        # Hundreds of events that each wait in vain would hold up everybody, and the end of the server.
        return PATIENCE_MS if durable else 0 if self._failed else LITTLE_PATIENCE_MS

    def _query(self, sql: str, *values: Any) -> list[Any]:
        return self._connection.execute(sql, {str(i + 1): value for i, value in enumerate(values)}).fetchall()

    def _models(self) -> list[ModelRow]:
        return [
            ModelRow(
                name,
                last,
                created,
                ceiling,
                tuple(self._versions(name)),
                self._aliases(name),
                changes.route_of(name, text),
                revision,
            )
            for name, last, ceiling, created, text, revision in self._query(
                "select name, last_version, ceiling, created, route, revision from model order by name"
            )
        ]

    def _versions(self, model: str) -> Iterable[VersionRow]:
        sql = (
            "select manifest, signature, wanted, last_used, load_s, own_bytes from version"
            " where model = $1 order by version"
        )
        for manifest, signature, wanted, *use in self._query(sql, model):
            decoded = msgspec.json.decode(signature, type=Signature)
            yield VersionRow(Manifest.from_json(manifest), decoded, bool(wanted), Use(*use))

    def _aliases(self, model: str) -> dict[str, int]:
        return dict(self._query("select alias, version from alias where model = $1 order by alias", model))


_FORGET_CALLER = "delete from caller_use where caller = $1"


@asynccontextmanager
async def open_records(path: Path, checkpoint: Checkpoint = passing) -> AsyncIterator[Records]:
    """Open the database at ``path``, made or migrated as needed.

    Raises
    ------
    ConfigError
        If a newer PRISM has written it.
    StorageFull, StorageFailed
        If the disk is full or broken, the file is damaged, or another program holds it locked.
    """
    writer = ThreadPoolExecutor(1, thread_name_prefix="records")
    loop = asyncio.get_running_loop()
    connection = await loop.run_in_executor(writer, _connect, path)
    try:
        yield Records(connection, writer, checkpoint)
    finally:
        await loop.run_in_executor(writer, connection.close)
        writer.shutdown()


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("pragma journal_mode = wal")
        migrate(connection)
    except sqlite3.DatabaseError as error:
        connection.close()
        raise database_error(error) from error
    except BaseException:
        connection.close()
        raise
    return connection


def migrate(connection: sqlite3.Connection, migrations: Sequence[Sequence[str]] = MIGRATIONS) -> None:
    """Bring the schema up to date, each step in a transaction of its own."""
    (done,) = connection.execute("pragma user_version").fetchone()
    if done > len(migrations):
        raise ConfigError(
            f"A newer PRISM has written the data directory: schema {done}, this one knows {len(migrations)}.",
            hint="Upgrade PRISM, or choose another --data-dir.",
        )
    for number, statements in enumerate(migrations[done:], start=done + 1):
        connection.execute("begin immediate")
        for statement in statements:
            connection.execute(statement)
        connection.execute(f"pragma user_version = {number}")
        connection.execute("commit")
