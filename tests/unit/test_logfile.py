"""Logs are read from the end, followed across rotation, and never guessed to exist."""

from __future__ import annotations

import os
from contextlib import aclosing

import pytest

from prism_core import logfile
from prism_core.logfile import MAX_LOG_BYTES, open_log, read_log, trim_log


@pytest.fixture
def log(tmp_path):
    return tmp_path / "log"


@pytest.fixture
def read(tmp_path):
    async def lines(tail: int) -> list[str]:
        return [line async for line in read_log(tmp_path, tail, follow=False)]

    return lines


@pytest.fixture(autouse=True)
def eager(monkeypatch):
    """Follow without waiting."""
    monkeypatch.setattr(logfile, "FOLLOW_S", 0)


async def test_no_log_is_an_empty_one(read):
    assert await read(10) == []


@pytest.mark.parametrize(
    ("text", "tail", "expected"),
    [
        ("", 5, []),
        ("a\nb\nc\n", 2, ["b", "c"]),
        ("a\nb\nc\n", 10, ["a", "b", "c"]),
        ("a\nb", 10, ["a", "b"]),
        ("a\n\nb\n\n", 3, ["", "b", ""]),
        ("a\n", 0, []),
        ("10 %\r20 %\rdone\n", 5, ["10 %\r20 %\rdone"]),
    ],
)
async def test_the_last_lines(log, read, text, tail, expected):
    log.write_bytes(text.encode())

    assert await read(tail) == expected


async def test_bytes_that_are_no_text_are_shown_as_such(log, read):
    log.write_bytes(b"caf\xe9\n")

    assert await read(1) == ["caf\ufffd"]


async def test_a_huge_log_is_read_from_its_end(log, read):
    with log.open("wb") as file:
        file.truncate(1 << 33)  # sparse
        file.seek(0, os.SEEK_END)
        file.write(b"\n" + b"".join(b"line %d\n" % n for n in range(50_000)))

    assert await read(20_000) == [f"line {n}" for n in range(30_000, 50_000)]


async def test_one_endless_line_is_cut(log, read):
    with log.open("wb") as file:
        file.truncate(1 << 33)

    assert len((await read(1))[0]) <= MAX_LOG_BYTES + 64 * 1024


async def test_following_yields_whole_lines_as_they_come(log, tmp_path):
    log.write_text("old\nha")
    async with aclosing(read_log(tmp_path, 5, follow=True)) as lines:
        assert await anext(lines) == "old"
        with log.open("a") as file:
            file.write("lf\nnext\n")

        assert [await anext(lines), await anext(lines)] == ["half", "next"]


async def test_following_waits_for_a_log_that_is_not_there_yet(log, tmp_path):
    async with aclosing(read_log(tmp_path, 5, follow=True)) as lines:
        first = anext(lines)
        log.write_text("hello\n")

        assert await first == "hello"


@pytest.mark.parametrize("put_aside", [True, False], ids=["rotated", "truncated"])
async def test_following_goes_on_in_a_new_log(log, tmp_path, put_aside):
    log.write_text("a long line of the old log\n")
    async with aclosing(read_log(tmp_path, 5, follow=True)) as lines:
        await anext(lines)
        if put_aside:
            log.rename(tmp_path / "log.1")
        log.write_text("new\n")

        assert await anext(lines) == "new"


def test_a_log_is_appended_to(log, tmp_path):
    for text in (b"a", b"b"):
        descriptor = open_log(tmp_path)
        os.write(descriptor, text)
        os.close(descriptor)

    assert log.read_text() == "ab"


def test_only_one_older_log_is_kept(log, tmp_path):
    (tmp_path / "log.1").write_text("older")
    with log.open("wb") as file:
        file.truncate(MAX_LOG_BYTES + 1)
    os.close(open_log(tmp_path))

    assert log.stat().st_size == 0
    assert (tmp_path / "log.1").stat().st_size == MAX_LOG_BYTES + 1


def test_a_log_is_for_its_owner_alone(log, tmp_path):
    os.close(open_log(tmp_path))

    assert log.stat().st_mode & 0o077 == 0


async def test_a_log_that_grows_large_is_put_aside_while_it_is_written(tmp_path, log, read, monkeypatch):
    monkeypatch.setattr(logfile, "MAX_LOG_BYTES", 8)
    writer = open_log(tmp_path)
    os.write(writer, b"small\n")
    trim_log(tmp_path)
    assert await read(1) == ["small"]

    os.write(writer, b"and large\n")
    trim_log(tmp_path)
    os.write(writer, b"anew\n")
    os.close(writer)

    assert await read(5) == ["anew"]
    assert (tmp_path / "log.1").read_bytes() == b"d large\n"


def test_a_log_that_is_not_there_is_not_trimmed(tmp_path):
    trim_log(tmp_path)

    assert os.listdir(tmp_path) == []
