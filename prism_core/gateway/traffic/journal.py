"""The journal of answers that may be judged: a database of its own, `traffic.db`, on a thread of its own.

Bounded in bytes and in age: the oldest go. Nobody waits for what is written here, and nothing but
feedback is lost with it: a journal that cannot be read is put aside, and begun anew.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import attrs
import structlog

from prism_core.gateway.traffic.kinds import Remembered

FILE = "traffic.db"
# Of the rows that go when it is full, and of those that go at once because of their age.
_FULL_SHARE, _OLD_ROWS = 50, 1_000
_PATIENCE_MS = 500

_COLUMNS = (
    "at",
    "request",
    "model",
    "revision",
    "arm",
    "answered",
    "chance",
    "caller",
    "output",
    "media_type",
    "answer",
)
_SCHEMA = """
create table if not exists remembered(
    seq integer primary key, at real not null, request text not null, model text not null,
    revision integer not null, arm text not null, answered text not null, chance real not null,
    caller text not null, output text not null, media_type text not null, answer blob not null,
    judged real, reward real);
create unique index if not exists remembered_request on remembered(request, model);
"""
_REST = [name for name in _COLUMNS if name not in ("request", "model")]
# An id that comes again means the newer answer, which is the one that its sender has. Not where the first
# was judged before, or was somebody else's. It goes behind all others, which have to go before it does.
_ADD = f"""
insert into remembered({", ".join(_COLUMNS)}) values({", ".join("?" * len(_COLUMNS))})
on conflict(request, model) do update set seq = (select max(seq) + 1 from remembered),
{", ".join(f"{name} = excluded.{name}" for name in _REST)}
where remembered.reward is null and remembered.caller = excluded.caller
"""
_FIND = f"select seq, reward, {', '.join(_COLUMNS)} from remembered where request = ?"

log = structlog.get_logger("prism.feedback")


@attrs.frozen
class Row:
    """An answer that is remembered, and what it was worth if somebody has said that."""

    seq: int
    reward: float | None
    answer: Remembered


class Journal:
    """The open database. For one thread. Made by `open_journal`.

    Parameters
    ----------
    connection, path
        To it, and where it is.
    max_bytes, max_age_s
        The oldest rows go beyond that.
    clock
        Unix seconds.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        *,
        max_bytes: int,
        max_age_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._connection = connection
        self._path = path
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._clock = clock

    def add(self, answers: Iterable[Remembered]) -> None:
        """Write answers; what is too old, or too much, goes."""
        with self._connection:
            self._connection.executemany(_ADD, [tuple(getattr(one, n) for n in _COLUMNS) for one in answers])
            self._trim()

    def find(self, request: str) -> list[Row]:
        """Return the answers with an X-Request-Id: one for each model that has one."""
        return [
            Row(seq, reward, Remembered(**dict(zip(_COLUMNS, told, strict=True))))
            for seq, reward, *told in self._connection.execute(_FIND, (request,))
        ]

    def judge(self, rewards: Sequence[tuple[int, float]]) -> None:
        """Write what rows are worth."""
        now = self._clock()
        with self._connection:
            self._connection.executemany(
                "update remembered set reward = ?, judged = ? where seq = ?",
                [(reward, now, seq) for seq, reward in rewards],
            )

    def forget(self, model: str) -> None:
        """Forget the answers of a model."""
        with self._connection:
            self._connection.execute("delete from remembered where model = ?", (model,))

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def put_aside(self) -> None:
        """Close the database, and make room for another one."""
        self.close()
        _put_aside(self._path)

    def _trim(self) -> None:
        oldest = self._clock() - self._max_age_s
        few = f"select seq from remembered order by seq limit {_OLD_ROWS}"
        while self._one("select at from remembered order by seq limit 1") < oldest and self._delete(
            f"seq in ({few}) and at < ?", oldest
        ):
            continue
        while self._bytes() > self._max_bytes:
            first = self._one("select min(seq) from remembered")
            last = self._one("select max(seq) from remembered")
            if not self._delete("seq <= ?", first + (last - first) // _FULL_SHARE):
                return

    def _delete(self, which: str, bound: float) -> int:
        return self._connection.execute(f"delete from remembered where {which}", (bound,)).rowcount

    def _bytes(self) -> float:
        used = self._one("pragma page_count") - self._one("pragma freelist_count")
        return used * self._one("pragma page_size")

    def _one(self, sql: str) -> float:
        """Return one number; infinity where there is none."""
        found = self._connection.execute(sql).fetchone()
        return float("inf") if found is None or found[0] is None else found[0]


def open_journal(
    path: Path, *, max_bytes: int, max_age_s: float, clock: Callable[[], float] = time.time
) -> Journal:
    """Open the journal; one that cannot be read is put aside first.

    Raises
    ------
    sqlite3.Error
        If there can be none, as on a full disk.
    """
    try:
        connection = _connected(path)
    except sqlite3.DatabaseError as error:
        if not is_broken(error):
            raise
        log.error("feedback.journal_broken", error=str(error))
        _put_aside(path)
        connection = _connected(path)
    return Journal(connection, path, max_bytes=max_bytes, max_age_s=max_age_s, clock=clock)


def is_broken(error: sqlite3.Error) -> bool:
    """Tell whether a journal can be read no more, whatever comes."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)


def _put_aside(path: Path) -> None:
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    path.replace(path.with_suffix(".broken"))


def _connected(path: Path) -> sqlite3.Connection:
    path.touch(0o600)  # what was predicted is nobody else's business; SQLite's other files are as this one
    connection = sqlite3.connect(path, timeout=_PATIENCE_MS / 1000, check_same_thread=False)
    try:
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = normal")
        connection.executescript(_SCHEMA)
    except sqlite3.DatabaseError:
        connection.close()
        raise
    return connection
