"""Who did what, written down before it is done.

`Audit.acting` is the one way in: the entry is on disk before the action begins, so nothing
can happen that is not in the log; where the action fails then, a second entry says so. If
the entry cannot be written the action does not begin.

Who acts is a context variable: the admin listener sets it for each request, everything else
is the server itself.
"""

from __future__ import annotations

import asyncio
import functools
import getpass
import hashlib
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar, cast

import structlog

from prism_core.audit import Actor
from prism_core.errors import AuditFailed, PrismError
from prism_core.gateway.ledger import Ledger
from prism_core.manifest import Manifest

Method = TypeVar("Method", bound=Callable[..., Coroutine[Any, Any, Any]])

log = structlog.get_logger("prism.audit")

_actor: ContextVar[Actor | None] = ContextVar("actor", default=None)


def act_as(actor: Actor) -> None:
    """Let ``actor`` be who does what follows in this task."""
    _actor.set(actor)


def actor() -> Actor:
    """Return who acts in this task."""
    return _actor.get() or the_server()


@functools.cache
def the_server() -> Actor:
    """Return the server itself as an actor."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in a container
        user = ""
    return Actor("server", user=user)


def fingerprint(token: str) -> str:
    """Return what tells one secret from another and gives none away."""
    return hashlib.sha256(token.encode()).hexdigest()[:12]


class Audit:
    """The open audit log. Made by `open_audit`."""

    def __init__(self, ledger: Ledger, writer: ThreadPoolExecutor) -> None:
        self._ledger = ledger
        self._writer = writer
        self._missed = 0

    async def write(self, action: str, subject: str = "", **facts: Any) -> None:
        """Write an entry; it is on disk when this returns.

        Raises
        ------
        AuditFailed
            If it is not; then what it is about must not be done.
        """
        by = actor()
        loop = asyncio.get_running_loop()
        # Shielded: a caller that is cancelled must not leave it open whether its entry was written.
        writing = loop.run_in_executor(self._writer, self._append, by, action, subject, facts)
        try:
            await asyncio.shield(writing)
        except OSError as error:
            raise AuditFailed(
                f"The audit log cannot be written: {error.strerror}. Nothing was changed.",
                hint="Free the disk that the data directory is on, or mend the rights of audit.jsonl.",
            ) from error

    async def note(self, action: str, subject: str = "", **facts: Any) -> None:
        """Write an entry about what has happened already; one that cannot be is counted and logged."""
        try:
            await self.write(action, subject, **facts)
        except AuditFailed as error:
            self._missed += 1
            log.error("audit.missed", action=action, subject=subject, error=error.message)

    @asynccontextmanager
    async def acting(self, action: str, subject: str = "", **facts: Any) -> AsyncIterator[None]:
        """Write an entry, then let the action be done; where that fails, write that too.

        Raises
        ------
        AuditFailed
            If the entry cannot be written; the action does not begin.
        """
        try:
            await self.write(action, subject, **facts)
            yield
        except AuditFailed:
            raise
        except BaseException as error:
            await self.note(f"{action}.failed", subject, code=code_of(error))
            raise

    def _append(self, actor: Actor, action: str, subject: str, facts: dict[str, Any]) -> None:
        if self._missed:
            self._ledger.append(the_server(), "audit.missed", "", {"entries": self._missed})
            self._missed = 0
        self._ledger.append(actor, action, subject, facts)


def code_of(error: BaseException) -> str:
    """Return an error's code; of one that is not ours its class."""
    return error.code if isinstance(error, PrismError) else type(error).__name__


def audited(action: str) -> Callable[[Method], Method]:
    """Let calls of a method be written down, with its arguments for facts; see `Audit.acting`.

    The object has an attribute ``audit``; ``model``, ``version`` and ``alias`` make the subject.
    """

    def decorate(method: Method) -> Method:
        signature = inspect.signature(method)

        @functools.wraps(method)
        async def run(self: Any, *args: Any, **kwargs: Any) -> Any:
            facts = dict(signature.bind(self, *args, **kwargs).arguments)
            del facts["self"]
            async with self.audit.acting(action, subject_of(facts), **facts):
                return await method(self, *args, **kwargs)

        return cast(Method, run)

    return decorate


def subject_of(facts: dict[str, Any]) -> str:
    """Take the model out of facts; return ``churn``, ``churn/3`` or ``churn@champion``."""
    model = str(facts.pop("model", ""))
    if alias := facts.pop("alias", ""):
        return f"{model}@{alias}"
    version = facts.pop("version", None)
    return f"{model}/{version}" if version else model


def version_of(manifest: Manifest) -> str:
    """Return a version as a subject: ``churn/3``."""
    return f"{manifest.model}/{manifest.version}"


@asynccontextmanager
async def open_audit(data: Path) -> AsyncIterator[Audit]:
    """Open the audit log of a data directory.

    One that cannot be written does not keep a server from predicting; nothing can be changed then.
    """
    ledger = Ledger(data, the_server())
    writer = ThreadPoolExecutor(1, thread_name_prefix="audit")
    loop = asyncio.get_running_loop()
    try:
        await loop.run_in_executor(writer, ledger.open)
    except OSError as error:
        log.error("audit.not_open", error=error.strerror)
    try:
        yield Audit(ledger, writer)
    finally:
        await loop.run_in_executor(writer, ledger.close)
        writer.shutdown()
