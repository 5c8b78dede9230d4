"""The journal: what is remembered is found, the oldest goes, and one that is broken stops nothing."""

from __future__ import annotations

import attrs
import msgspec
import pytest

from prism_core.gateway.traffic.journal import FILE, Journal, open_journal
from prism_core.gateway.traffic.kinds import Remembered

MB = 1024 * 1024


@attrs.define
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def remembered(request="r", *, at=1000.0, model="m", caller="", answer=b"{}", **more):
    return Remembered(
        at, request, model, 1, "m/1", "m/1", 0.5, caller, "label", "application/json", answer, **more
    )


@pytest.fixture
def make(tmp_path):
    """Return what opens the one journal."""
    opened = []

    def make(max_bytes=MB, max_age_s=100.0) -> Journal:
        opened.append(open_journal(tmp_path / FILE, max_bytes=max_bytes, max_age_s=max_age_s, clock=Clock()))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


def test_what_is_remembered_is_found(make):
    journal = make()
    answers = [remembered("a"), remembered("b", model="n"), remembered("a", model="n")]
    journal.add(answers)

    assert [row.answer for row in journal.find("a")] == [answers[0], answers[2]]
    assert journal.find("c") == []


def test_it_outlives_its_process(make):
    first = make()
    first.add([remembered("a"), remembered("b")])
    first.judge([(first.find("a")[0].seq, 0.25)])
    first.close()

    second = make()
    assert second.find("a")[0].reward == 0.25
    assert second.find("b")[0].reward is None


def test_an_id_that_comes_again_means_the_newer_answer(make):
    journal = make()
    journal.add([remembered(answer=b"old"), remembered(answer=b"new")])

    assert [row.answer.answer for row in journal.find("r")] == [b"new"]


def test_what_was_judged_stays(make):
    journal = make()
    journal.add([remembered(answer=b"old")])
    journal.judge([(journal.find("r")[0].seq, 1.0)])
    journal.add([remembered(answer=b"new")])

    assert [(row.answer.answer, row.reward) for row in journal.find("r")] == [(b"old", 1.0)]


def test_nobody_replaces_an_answer_of_others(make):
    journal = make()
    journal.add([remembered(caller="key:ann", answer=b"hers"), remembered(caller="key:bob", answer=b"his")])

    assert [row.answer.answer for row in journal.find("r")] == [b"hers"]


def test_the_oldest_go(make):
    journal = make(max_age_s=100.0)
    journal.add([remembered(str(number), at=1000.0 - number) for number in range(3000, 0, -1)])

    assert journal.find("101") == []
    assert journal.find("99") != []


def test_an_id_that_comes_again_and_again_keeps_no_others(make):
    """A monitor has one id for all that it asks."""
    make(max_age_s=1000.0).add([remembered("monitor", at=850.0), remembered("person", at=850.0)])

    journal = make(max_age_s=100.0)
    journal.add([remembered("monitor", at=999.0)])

    assert journal.find("person") == []
    assert journal.find("monitor")[0].answer.at == 999.0


def test_it_is_its_owners_alone(make, tmp_path):
    make().add([remembered()])

    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_it_does_not_grow_without_bounds(make, tmp_path):
    """The newest are there, and the file is not much larger than it may be."""
    journal = make(max_bytes=MB)
    for batch in range(30):
        journal.add([remembered(f"{batch}-{number}", answer=bytes(1000)) for number in range(100)])

    assert journal.find("0-0") == []
    assert journal.find("29-99") != []
    assert (tmp_path / FILE).stat().st_size < 1.5 * MB


def test_a_broken_one_is_put_aside(make, tmp_path):
    (tmp_path / FILE).write_bytes(b"this is no database" * 1000)

    journal = make()
    journal.add([remembered()])

    assert journal.find("r") != []
    assert (tmp_path / "traffic.broken").read_bytes().startswith(b"this is no")


def test_every_field_is_kept(make):
    journal = make()
    answer = Remembered(999.5, "r", "m", 7, "m/2", "m/3", 0.25, "link:x", "label", "text/x", b'{"a": 1}')
    journal.add([answer])

    (row,) = journal.find("r")
    assert msgspec.structs.asdict(row.answer) == msgspec.structs.asdict(answer)
