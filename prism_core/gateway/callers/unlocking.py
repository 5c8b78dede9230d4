"""Open a link once, with its token and perhaps its password, and be given a session for what follows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from math import ceil

from prism_core.errors import RateLimited, Unauthorized
from prism_core.gateway.callers import passwords, sessions
from prism_core.gateway.callers.buckets import Buckets, Pace
from prism_core.gateway.callers.link_table import Held, LinkTable
from prism_core.rates import Rate

# How often a link's password may be tried wrongly, by all together: who tries has its token already.
WRONG = Rate.parse("5/min burst 10")
# Hashes at a time: each takes 16 MB and one processor, and predictions need some too.
TOGETHER = 1


class Unlocking:
    """Opens the links of a table.

    Parameters
    ----------
    table
        Knows the links.
    now
        Unix seconds, which sessions are bound to.
    clock
        Monotonic seconds, for the rate of tries.
    """

    def __init__(
        self,
        table: LinkTable,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._table = table
        self._now = now
        self._clock = clock
        self._pace = Pace.of(WRONG)
        self._wrong = Buckets()
        self._turn = asyncio.Semaphore(TOGETHER)

    async def open(self, held: Held, token: str, password: str) -> tuple[str, float]:
        """Return a session, and when it ends in Unix seconds.

        Raises
        ------
        Unauthorized
            If the token is wrong, or the password, or there is none.
        RateLimited
            If wrong passwords were tried too often.
        """
        if not token:
            raise Unauthorized("This link asks for its token.", hint="It stands behind the # of its address.")
        if not self._table.is_token(held, token):
            raise Unauthorized("This is not what opens this link.", hint="It is mistyped, or was revoked.")
        if held.link.password:
            await self._check(held, password)
            self._table.check_end(self._table.find(held.link.slug))  # it may have ended meanwhile
        return sessions.new_session(held.link, self._now())

    async def _check(self, held: Held, password: str) -> None:
        if not password:
            raise Unauthorized("This link asks for its password, too.", hint="Its owner has told it apart.")
        slug = held.link.slug
        self._try(slug)
        async with self._turn:
            right = await asyncio.to_thread(passwords.opens, held.link.password, password)
        if not right:
            raise Unauthorized("This is not the password of this link.", hint="Ask its owner.")
        self._move(slug, -self._pace.interval_s)

    def _try(self, slug: str) -> None:
        """Count a try as a wrong one until it is known: many at once are no more than one by one."""
        ahead_s = self._wrong.ahead_s(slug, self._clock())
        if wait_s := self._pace.wait_s(ahead_s):
            raise RateLimited(
                "This link's password was tried too often.",
                hint=f"Try again in {ceil(wait_s)} s.",
                details={"limit": "password", "rate": str(WRONG), "retry_after_s": wait_s},
            )
        self._move(slug, self._pace.interval_s)

    def _move(self, slug: str, seconds: float) -> None:
        now = self._clock()
        self._wrong.set_ahead(slug, now, max(0.0, self._wrong.ahead_s(slug, now) + seconds))
