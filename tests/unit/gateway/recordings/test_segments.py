"""Files of recordings: written, bounded, read in order, by several processes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prism_core.gateway.traffic.recordings.exchange import Exchange, encode_block
from prism_core.gateway.traffic.recordings.reading import Reader, segments_of, totals_of
from prism_core.gateway.traffic.recordings.segments import Segments, files_of
from prism_core.traffic.recording import Recording

FOREVER = (0.0, float("inf"))


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def block(*times: float, size: int = 10) -> bytes:
    return encode_block([Exchange(at, os.urandom(size)) for at in times], {}, 0.0)


def times(directory: Path, since: float = 0.0, until: float = float("inf")) -> list[float]:
    return [exchange.at for exchange in Reader(segments_of(directory), since, until)]


@pytest.fixture
def directory(tmp_path) -> Path:
    return tmp_path / "recordings" / "churn"


def test_files_are_the_owners_alone(directory):
    Segments(directory, "churn").append(block(1.0), Recording())
    (file,) = directory.iterdir()
    assert (file.stat().st_mode & 0o777, directory.stat().st_mode & 0o777) == (0o600, 0o700)


def test_a_recording_that_leaves_a_lot_out_is_read(directory):
    names = tuple(f"what nobody may know of people, {number}" for number in range(500))
    Segments(directory, "churn").append(block(1.0), Recording(redact=names))

    assert times(directory) == [1.0]
    assert totals_of(segments_of(directory)).redacted == tuple(sorted(names))


def test_the_oldest_files_go_whoever_wrote_them(directory):
    clock = Clock()
    recording = Recording(max_size=300_000)
    one, other = Segments(directory, "churn", clock), Segments(directory, "churn", clock)
    for at in range(12):
        clock.now += 1
        (one if at % 2 else other).append(block(clock.now, size=40_000), recording)
        assert sum(file.size_bytes for file in files_of(directory)) <= 300_000
    kept = times(directory)
    assert kept == sorted(kept)
    assert 1012.0 in kept
    assert 1001.0 not in kept


def test_what_is_too_old_goes_with_the_next_block(directory):
    clock = Clock()
    segments = Segments(directory, "churn", clock)
    recording = Recording(max_age_s=160.0)
    segments.append(block(1000.0), recording)
    clock.now += 15
    segments.append(block(1015.0), recording)
    clock.now += 165
    segments.append(block(1180.0), recording)
    assert times(directory) == [1180.0]


def test_who_finds_its_file_gone_begins_another(directory):
    segments = Segments(directory, "churn")
    segments.append(block(1.0), Recording())
    for file in directory.iterdir():
        file.unlink()
    directory.rmdir()
    segments.append(block(2.0), Recording())
    assert times(directory) == [2.0]


def test_another_way_to_record_begins_another_file(directory):
    clock = Clock()
    segments = Segments(directory, "churn", clock)
    segments.append(block(1.0), Recording())
    segments.append(block(2.0), Recording(redact=("email",)))
    assert [segment.head.redact for segment in segments_of(directory)] == [(), ("email",)]


def test_a_torn_end_is_told_once_nobody_writes_any_more(directory):
    segments = Segments(directory, "churn")
    segments.append(block(1.0), Recording())
    (path,) = directory.iterdir()
    torn = block(2.0)[:-3]
    with path.open("ab") as file:
        file.write(torn)
    assert totals_of(segments_of(directory)).torn_bytes == 0
    segments.close()
    totals = totals_of(segments_of(directory))
    assert (totals.requests, totals.torn_bytes) == (1, len(torn))
    assert times(directory) == [1.0]


def test_a_damaged_block_is_left_out_and_counted(directory):
    segments = Segments(directory, "churn")
    segments.append(block(1.0), Recording())
    segments.append(block(2.0), Recording())
    segments.close()
    (path,) = directory.iterdir()
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    reader = Reader(segments_of(directory), *FOREVER)
    assert [exchange.at for exchange in reader] == [1.0]
    assert reader.damaged == 1


def test_a_file_of_somebody_else_is_left_alone(directory):
    directory.mkdir(parents=True)
    (directory / "0000000000001-1-1.rec").write_bytes(b"no recording")
    (directory / "notes.txt").write_text("mine")
    assert list(segments_of(directory)) == []


def test_a_half_written_block_is_taken_back(directory, monkeypatch):
    segments = Segments(directory, "churn")
    segments.append(block(1.0), Recording())
    real = os.write

    def full(number: int, data: memoryview) -> int:
        if len(data) > 20:
            return real(number, data[:20])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        segments.append(block(2.0, size=10)[:40], Recording())
    monkeypatch.undo()
    segments.append(block(3.0), Recording())
    assert times(directory) == [1.0, 3.0]
    segments.close()
    assert totals_of(segments_of(directory)).torn_bytes == 0


@settings(max_examples=50)
@given(
    st.lists(st.lists(st.integers(0, 100), min_size=1, max_size=4), max_size=8),
    st.integers(1, 3),
    st.integers(0, 100),
    st.integers(0, 100),
)
def test_requests_come_in_the_order_in_which_they_came(tmp_path_factory, blocks, writers, since, until):
    directory = tmp_path_factory.mktemp("recordings") / "m"
    all_segments = [Segments(directory, "m") for _ in range(writers)]
    for at, some in enumerate(blocks):
        all_segments[at % writers].append(block(*map(float, some)), Recording())
    wanted = sorted(float(at) for some in blocks for at in some if since <= at <= until)
    assert times(directory, since, until) == wanted
    for segments in all_segments:
        segments.close()
