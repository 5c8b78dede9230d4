"""Feedback in the leader: remembered beside the requests, judged once, told to whoever learns from it."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

import msgspec
import pytest

from prism_core.errors import AnswerNotFound, InvalidInput, StorageFailed
from prism_core.gateway.traffic import judging as module
from prism_core.gateway.traffic.journal import FILE
from prism_core.gateway.traffic.judging import Judging, open_judging
from prism_core.gateway.traffic.kinds import Judged, Remembered, Unremembered
from prism_core.settings import FeedbackSettings

SETTINGS = FeedbackSettings()


def answer(request="r", *, model="m", answered="m/1", body=b'{"predictions": ["a"]}', at=9e9):
    return Remembered(at, request, model, 1, "m/1", answered, 0.5, "", "y", "application/json", body)


@pytest.fixture
def heard():
    return []


@pytest.fixture
async def judging(tmp_path, heard):
    async with open_judging(tmp_path, SETTINGS, heard.append, lambda model: 0.0) as judging:
        yield judging


async def judge(judging: Judging, *items: Any, may=lambda one: True) -> dict[str, Any]:
    return await judging.judge(msgspec.json.encode(list(items)), "application/json", may)


def counted(judging: Judging) -> dict[str, float]:
    """Return the metrics, by their labels' values."""
    return {
        "/".join(sample.labels.values()): sample.value
        for metric in judging.collect()
        for sample in metric.samples
        if sample.name.endswith("_total")
    }


async def test_an_answer_is_judged_as_soon_as_it_was_given(judging, heard):
    """Nobody waits until it is written."""
    judging.remember(answer())
    told = await judge(judging, {"request_id": "r", "label": "a"})

    assert told == {"judged": 1, "repeated": 0, "refused": 0, "errors": []}
    (one,) = heard
    assert (one.request, one.arm, one.reward, one.chance, one.revision) == ("r", "m/1", 1.0, 0.5, 1)
    assert isinstance(one, Judged)


async def test_the_same_again_is_told_to_nobody(judging, heard):
    judging.remember(answer())
    for _ in range(3):
        await judge(judging, {"request_id": "r", "label": "a"})

    assert len(heard) == 1


async def test_what_a_fallback_answered_says_nothing_of_the_arm(judging, heard):
    judging.remember(answer(answered="m/2"))

    assert (await judge(judging, {"request_id": "r", "label": "a"}))["judged"] == 1
    assert heard == []


async def test_one_alone_is_refused_with_its_error(judging):
    with pytest.raises(AnswerNotFound):
        await judging.judge(b'{"request_id": "r", "label": 1}', "", lambda one: True)
    judging.remember(answer())
    with pytest.raises(InvalidInput):
        await judging.judge(b'{"request_id": "r", "label": null}', "", lambda one: True)


async def test_unknown_answers_are_asked_for_once_more(judging, heard):
    """Another gateway has given them, and has not told of them yet."""

    async def all_told():
        judging.remember(answer("late"))

    judging.remember(answer("known"))
    judging.all_told = all_told
    told = await judge(judging, *({"request_id": name, "label": "a"} for name in ("known", "late", "none")))

    assert (told["judged"], told["refused"]) == (2, 1)
    assert [error["index"] for error in told["errors"]] == [2]
    assert sorted(one.request for one in heard) == ["known", "late"]


async def test_what_one_request_says_no_other_says_differently(judging, heard):
    """However they come together."""
    judging.remember(answer())
    said = [{"request_id": "r", "reward": of / 10} for of in range(10)]
    told = await asyncio.gather(*(judge(judging, one) for one in said))

    assert sum(one["judged"] for one in told) == 1
    assert len(heard) == 1


async def test_it_outlives_the_server(tmp_path, heard):
    async with open_judging(tmp_path, SETTINGS, heard.append, lambda model: 0.0) as judging:
        judging.remember(answer())
    async with open_judging(tmp_path, SETTINGS, heard.append, lambda model: 0.0) as judging:
        assert (await judge(judging, {"request_id": "r", "label": "a"}))["judged"] == 1


async def test_a_server_without_such_routes_has_no_journal(tmp_path, judging):
    await judging.forget("m")

    assert list(tmp_path.iterdir()) == []


async def test_answers_of_a_model_that_is_gone_are_forgotten(judging):
    judging.remember(answer("written"))
    await judge(judging, {"request_id": "other", "label": 1})
    judging.remember(answer("waiting"))
    judging.remember(answer("kept", model="n"))
    await judging.forget("m")
    told = await judge(
        judging, *({"request_id": name, "label": "a"} for name in ("written", "waiting", "kept"))
    )

    assert told["judged"] == 1


async def test_a_tolerance_is_the_models(tmp_path, heard):
    async with open_judging(tmp_path, SETTINGS, heard.append, {"m": 4.0}.__getitem__) as judging:
        judging.remember(answer(body=b'{"predictions": [10.5]}'))
        await judge(judging, {"request_id": "r", "label": 11.5})

    assert heard[0].reward == 0.75


# --- a disk that fails ----------------------------------------------------------------------


async def test_a_journal_that_breaks_later_is_begun_anew(tmp_path, heard):
    async with open_judging(tmp_path, SETTINGS, heard.append, lambda model: 0.0) as judging:
        for number in range(200):
            judging.remember(answer(str(number), body=bytes(1000)))
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes()[:20_000] + b"\xff" * (path.stat().st_size - 20_000))

    async with open_judging(tmp_path, SETTINGS, heard.append, lambda model: 0.0) as judging:
        with pytest.raises(StorageFailed):
            await judge(judging, {"request_id": "150", "correct": True})
        judging.remember(answer())
        assert (await judge(judging, {"request_id": "r", "correct": True}))["judged"] == 1


class Broken:
    """A journal on a disk that fails."""

    def add(self, answers):
        raise sqlite3.OperationalError("disk I/O error")

    def find(self, request):
        raise sqlite3.OperationalError("disk I/O error")

    def close(self):
        pass


async def test_a_disk_that_fails_costs_answers_and_no_request():
    """They are lost and counted; feedback says so."""
    judging = Judging(Broken, lambda judged: None, lambda model: 0.0)
    judging.remember(answer())
    with pytest.raises(StorageFailed):
        await judge(judging, {"request_id": "r", "label": "a"})

    assert counted(judging)["m/lost"] == 1
    await judging.close()


async def test_a_disk_that_is_slow_costs_answers_and_no_memory(judging, monkeypatch):
    monkeypatch.setattr(module, "HELD", 10)
    for number in range(25):
        judging.remember(answer(str(number)))

    assert counted(judging)["m/lost"] == 15


async def test_what_is_counted(judging):
    for name in ("a", "b"):
        judging.remember(answer(name))
    judging.miss(Unremembered("m", 7))
    await judge(judging, *({"request_id": name, "label": "a"} for name in ("a", "a", "x")))

    assert counted(judging) == {"m/kept": 2, "m/shed": 7, "judged": 1, "repeated": 1, "refused": 1}
