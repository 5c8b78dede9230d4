"""The access log's lines on their way to the disk, however slow that is."""

import asyncio
import json
import os
import threading

import pytest

from prism_core.rest import access as access_module
from prism_core.rest.access import AccessLog, Appender, Line, open_access
from prism_core.settings import ModelSettings, Settings


def line(number: int = 1, **facts) -> Line:
    told = {"request": f"r-{number}", "address": "10.0.0.1", "caller": "", "method": "GET", "path": "/"}
    return Line(time=1.0, status=200, bytes=2, ms=0.5, **(told | facts))


def read(data: bytes) -> list[dict]:
    return [json.loads(text) for text in data.splitlines()]


class Disk:
    """Takes what is written, when it is let; full while ``full``."""

    def __init__(self):
        self.data = b""
        self.free = threading.Event()
        self.free.set()
        self.full = False

    def __call__(self, data: bytes) -> None:
        self.free.wait()
        if self.full:
            raise OSError(28, "No space left on device")
        self.data += data


@pytest.fixture
def disk():
    return Disk()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(access_module, "EVERY_S", 0.0)


async def until(condition) -> None:
    while not condition():
        await asyncio.sleep(0)


async def test_lines_come_in_order_and_the_last_with_the_end(disk):
    access = AccessLog(disk, {})
    for number in range(100):
        access.add(line(number))
    await access.close()

    assert [told["request"] for told in read(disk.data)] == [f"r-{n}" for n in range(100)]
    assert access.lost == 0


async def test_what_is_not_there_is_left_out(disk):
    access = AccessLog(disk, {})
    access.add(line(model="churn", version=3))
    await access.close()

    (told,) = read(disk.data)
    assert told.keys() - {"model", "version"} == {
        "time", "request", "address", "caller", "method", "path", "status", "bytes", "ms"
    }  # fmt: skip


async def test_a_disk_that_hangs_costs_lines_and_they_are_counted(disk, monkeypatch):
    monkeypatch.setattr(access_module, "HELD_LINES", 10)
    access = AccessLog(disk, {})
    disk.free.clear()
    access.add(line(0))
    await until(lambda: not access._idle.is_set())
    for number in range(1, 16):
        access.add(line(number))
    assert access.lost == 5

    disk.free.set()
    await access.close()

    told = read(disk.data)
    assert [one.get("request") or one["lost_lines"] for one in told] == [
        "r-0", 5, *(f"r-{n}" for n in range(1, 11))
    ]  # fmt: skip


async def test_a_full_disk_costs_lines_until_it_has_room(disk):
    access = AccessLog(disk, {})
    disk.full = True
    access.add(line(1))
    await until(lambda: access.lost == 1)
    disk.full = False
    access.add(line(2))
    await access.close()

    assert [one.get("request") or one["lost_lines"] for one in read(disk.data)] == [1, "r-2"]


async def test_a_disk_that_hangs_for_good_does_not_hold_the_end(disk, monkeypatch):
    monkeypatch.setattr(access_module, "LAST_S", 0.01)
    access = AccessLog(disk, {})
    disk.free.clear()
    access.add(line())
    await until(lambda: not access._idle.is_set())
    await access.close()
    disk.free.set()


# --- the file -----------------------------------------------------------------------------------


def test_a_file_that_was_moved_away_is_made_anew(tmp_path):
    append = Appender(tmp_path / "access.log")
    append(b"one\n")
    (tmp_path / "access.log").rename(tmp_path / "access.log.1")
    append(b"two\n")
    append(b"three\n")
    append.close()

    assert (tmp_path / "access.log.1").read_bytes() == b"one\n"
    assert (tmp_path / "access.log").read_bytes() == b"two\nthree\n"
    assert (tmp_path / "access.log").stat().st_mode & 0o777 == 0o600


def test_a_line_that_fitted_in_part_is_ended_by_the_next(tmp_path, monkeypatch):
    append = Appender(tmp_path / "access.log")
    append(b"")
    write, room = os.write, [4, 0]

    def short(number, data):
        if not room:
            return write(number, data)
        fits = room.pop(0)
        if not fits:
            raise OSError(28, "No space left on device")
        return write(number, data[:fits])

    monkeypatch.setattr(os, "write", short)
    with pytest.raises(OSError, match="No space"):
        append(b"first\nsecond\n")
    append(b"third\n")
    append.close()

    assert (tmp_path / "access.log").read_bytes() == b"firs\nthird\n"


async def test_where_nobody_asks_for_it_there_is_none(tmp_path):
    async with open_access(Settings(data_dir=tmp_path)) as access:
        assert access is None


async def test_a_relative_path_is_in_the_data_directory(tmp_path):
    models = {"churn": ModelSettings(access_log_values=9), "iris": ModelSettings(path="iris.pkl")}
    settings = Settings(data_dir=tmp_path, access_log="access.log", models=models)
    async with open_access(settings) as access:
        assert access.values == {"churn": 9}
        access.add(line())

    assert len(read((tmp_path / "access.log").read_bytes())) == 1


async def test_a_log_that_cannot_be_written_costs_lines_only(tmp_path):
    (tmp_path / "access.log").mkdir()
    async with open_access(Settings(data_dir=tmp_path, access_log="access.log")) as access:
        access.add(line())
        await until(lambda: access.lost == 1)
