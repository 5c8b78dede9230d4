"""The chain of the audit log, as a function of its lines."""

import hashlib
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.audit import (
    GENESIS,
    REPAIRED,
    Actor,
    BrokenLine,
    Entry,
    Head,
    is_about,
    opened,
    sealed,
    verify,
)

ADMIN = Actor("admin", token="ab12", address="127.0.0.1", request="r-1")
PLAIN = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text()
JSON = st.recursive(PLAIN, lambda one: st.lists(one) | st.dictionaries(st.text(), one), max_leaves=5)


def chain(*facts, action="alias.set"):
    """Return the lines of a whole log, and its head."""
    lines, head = [], Head()
    for fact in facts:
        entry = Entry(
            seq=head.count + 1,
            at="2026-11-26T14:00:00.000000+00:00",
            actor=ADMIN,
            action=fact.pop("action", action),
            subject="churn@best",
            facts=fact,
            previous=head.hash,
        )
        line, head = sealed(entry)
        lines.append(line)
    return lines, head


def three():
    return chain({"version": 1}, {"version": 2}, {"version": 3})


@given(st.lists(st.dictionaries(st.text(), JSON, max_size=3), max_size=4))
def test_a_whole_log_is_whole(facts):
    lines, head = chain(*[{"told": fact} for fact in facts])
    report = verify(lines, kept=head, known=head)

    assert (report.head, report.fault, report.notes) == (head, "", [])
    assert all(line.count(b"\n") == 1 and line.endswith(b"\n") for line in lines)


@given(st.data())
def test_any_changed_byte_is_found(data):
    lines, head = three()
    whole = bytearray(b"".join(lines))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] = data.draw(st.integers(0, 255).filter(lambda byte: byte != whole[at]))

    report = verify(io.BytesIO(whole), kept=head)

    assert report.fault


@pytest.mark.parametrize(
    ("change", "line", "fault"),
    [
        (lambda a, b, c: [a, b.replace(b'"version":2', b'"version":9'), c], 2, "digest"),
        (lambda a, b, c: [a, c], 2, "entry 3, and 2 should follow"),
        (lambda a, b, c: [a, c, b], 2, "entry 3"),
        (lambda a, b, c: [a, b, b, c], 3, "entry 2"),
        (lambda a, b, c: [b, c], 1, "entry 2, and 1 should follow"),
        (lambda a, b, c: [a, b"\n", b, c], 2, "not an entry"),
        (lambda a, b, c: [a, b'{"seq":2}\n', c], 2, "it is not an entry"),
        (lambda a, b, c: [a, b], 0, "1 entries are missing at the end: 3"),
        (lambda a, b, c: [], 0, "3 entries are missing"),
    ],
)
def test_the_first_broken_line_is_named(change, line, fault):
    lines, head = three()
    report = verify(change(*lines), kept=head)

    assert report.line == line
    assert fault in report.fault


def test_a_log_that_was_written_anew_differs_from_the_head_that_was_noted():
    _, head = three()
    other, _ = chain({"version": 1}, {"version": 7}, {"version": 3}, {"version": 4})

    assert verify(other).fault == ""
    assert "entry 3 is not the one that was noted" in verify(other, known=head).fault
    assert "entry 3 is not the one that was noted" in verify(other, kept=head).fault


def test_a_log_may_be_ahead_of_its_head():
    """The head is written after the entry: a crash may fall between."""
    lines, _ = three()
    _, second = opened(lines[1].rstrip(b"\n"))

    assert verify(lines, kept=second).fault == ""


def torn_then_closed(torn: bytes, **facts):
    lines, _ = chain(
        {"version": 1}, {"action": REPAIRED, "sha256": hashlib.sha256(torn).hexdigest(), **facts}
    )
    return [lines[0], *torn.splitlines(keepends=True), lines[1]]


def test_a_line_that_a_crash_tore_and_a_start_closed_is_no_fault():
    report = verify(torn_then_closed(b'{"seq":2,"at":"20\n', missing=0))

    assert (report.fault, report.head.count) == ("", 2)
    assert "Line 2 was torn by a crash; entry 2 closes it." in report.notes


def test_a_torn_line_that_was_changed_since_is_a_fault():
    lines = torn_then_closed(b'{"seq":2,"at":"20\n', missing=0)
    lines[1] = lines[1].replace(b"at", b"to")

    assert verify(lines).line == 2


def test_what_a_start_missed_stays_a_fault():
    report = verify(torn_then_closed(b"", missing=4))

    assert report.line == 2
    assert "4 entries missing" in report.fault


def test_a_last_line_that_is_not_whole_is_only_noted():
    lines, head = three()
    report = verify([*lines, b'{"seq":4,'], kept=head)

    assert report.fault == ""
    assert "Line 4 is not whole" in report.notes[0]


def test_a_last_line_that_is_not_whole_and_should_be():
    lines, head = three()

    assert "1 entries are missing" in verify([*lines[:2], lines[2][:20]], kept=head).fault


@pytest.mark.parametrize("text", ["", "x", "3", "3:ab", ":" + GENESIS, "-1:" + GENESIS])
def test_what_is_no_head(text):
    with pytest.raises(ValueError, match="COUNT:HASH"):
        Head.parse(text)


def test_a_head_is_read_as_it_is_printed():
    _, head = three()

    assert Head.parse(str(head)) == head
    assert Head.parse(f"{0:020d}:{GENESIS}\n") == Head()


@given(st.binary(max_size=300))
def test_no_bytes_but_an_entry_are_an_entry(data):
    with pytest.raises(BrokenLine):
        opened(data)


@pytest.mark.parametrize(
    ("subject", "facts", "about"),
    [
        ("churn", {}, True),
        ("churn/3", {}, True),
        ("churn@best", {}, True),
        ("churned", {}, False),
        ("key-1", {"models": ["churn", "iris"]}, True),
        ("key-1", {"models": "churned"}, False),
        ("key-1", {"model": "churn"}, True),
        ("http://prism", {}, False),
    ],
)
def test_what_an_entry_is_about(subject, facts, about):
    entry = Entry(seq=1, at="", actor=ADMIN, action="", subject=subject, facts=facts, previous=GENESIS)

    assert is_about(entry, "churn") is about
