"""What signals do, and what an application lets escape."""

from __future__ import annotations

import asyncio
import json

import pytest

from prism_core.errors import Overloaded
from prism_core.rest.accepting import LastResort
from prism_core.rest.serve import Interrupt


async def forever():
    await asyncio.Event().wait()


@pytest.fixture
async def task():
    task = asyncio.create_task(forever())
    yield task
    task.cancel()


async def test_a_signal_during_the_start_gives_it_up(task):
    interrupt = Interrupt(task)

    interrupt()
    await asyncio.wait({task})

    assert task.cancelled()
    assert interrupt.early


async def test_a_signal_while_serving_drains_and_the_next_one_hurries(task):
    interrupt = Interrupt(task)
    interrupt.serving = True

    interrupt()
    assert (interrupt.stopping.is_set(), interrupt.hurry.is_set()) == (True, False)
    interrupt()
    assert interrupt.hurry.is_set()
    assert not task.cancelling()


async def test_a_second_signal_during_the_start_does_not_cancel_the_cleaning_up(task):
    interrupt = Interrupt(task)

    interrupt()
    interrupt()

    assert task.cancelling() == 1


class Sent(list):
    """Messages, refused after a start as uvicorn refuses them."""

    async def __call__(self, message):
        if self and message["type"] == "http.response.start":
            raise RuntimeError("Expected ASGI message 'http.response.body'")
        self.append(message)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (RuntimeError("secret"), 500, "internal_error"),
        (Overloaded("Full."), 503, "overloaded"),
        (asyncio.CancelledError(), 503, "overloaded"),
    ],
)
@pytest.mark.parametrize("begun", [False, True])
async def test_what_escapes_is_a_problem_unless_the_answer_has_begun(error, status, code, begun):
    async def app(scope, receive, send):
        if begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise error

    sent = Sent()
    await LastResort(app)({"type": "http"}, None, sent)

    if begun:
        assert [message["status"] for message in sent] == [200]
    else:
        assert (sent[0]["status"], json.loads(sent[1]["body"])["code"]) == (status, code)
        assert b"secret" not in sent[1]["body"]
