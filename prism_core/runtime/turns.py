"""Long work in short steps, between whatever else the event loop has to do.

One job at a time, the first one first, one step a turn of the loop. A job that cannot be
done in steps is done whole, in one thread beside the loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs

# Turns in a row that are left to others which are about to be answered.
GIVEN_WAY = 3


@attrs.define(eq=False)
class Job:
    """Something long to do.

    Parameters
    ----------
    steps
        Yields between its steps; returns the result, or None to have ``whole`` called.
    whole
        The same in one piece; called in a thread.
    done
        Called once on the loop with the result, or with the exception, unless it is cancelled.
    """

    steps: Generator[None, None, Any]
    whole: Callable[[], Any]
    done: Callable[[Any], None]
    cancelled: bool = False


class Turns:
    """Does jobs on the running event loop.

    Parameters
    ----------
    others_wait
        Whether something short is about to be done, which a step would hold up.
    """

    def __init__(self, others_wait: Callable[[], bool]) -> None:
        self._others_wait = others_wait
        self._loop = asyncio.get_running_loop()
        self._jobs: deque[Job] = deque()
        self._given_way = 0
        self._pool: ThreadPoolExecutor | None = None

    def add(self, job: Job, *, first: bool = False) -> None:
        """Do a job when it is its turn; ``first``: before all that wait."""
        if not self._jobs:
            self._loop.call_soon(self._turn)
        if first:
            self._jobs.appendleft(job)
        else:
            self._jobs.append(job)

    def cancel(self, job: Job) -> None:
        """Do no more of a job."""
        job.cancelled = True

    def close(self) -> None:
        """Let go of the thread without waiting for it."""
        if self._pool:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _turn(self) -> None:
        try:
            if self._given_way < GIVEN_WAY and self._others_wait():
                self._given_way += 1
            else:
                self._given_way = 0
                self._step(self._jobs[0])
        finally:
            if self._jobs:
                self._loop.call_soon(self._turn)

    def _step(self, job: Job) -> None:
        try:
            if not job.cancelled:
                next(job.steps)
                return
            job.steps.close()
        except StopIteration as end:
            self._jobs.remove(job)
            if end.value is None:
                self._do_whole(job)
            else:
                job.done(end.value)
        except Exception as error:
            self._jobs.remove(job)
            job.done(error)
        else:
            self._jobs.remove(job)

    def _do_whole(self, job: Job) -> None:
        self._pool = self._pool or ThreadPoolExecutor(1, thread_name_prefix="large")
        future = self._loop.run_in_executor(self._pool, job.whole)
        future.add_done_callback(lambda done: None if job.cancelled else job.done(_outcome(done)))


def _outcome(done: asyncio.Future[Any]) -> Any:
    if done.cancelled():
        return asyncio.CancelledError()
    return done.exception() or done.result()
