"""Which files of a recording have to go."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from prism_core.traffic.recording import Kept, Recording, outlived

FILES = st.lists(st.tuples(st.integers(0, 100), st.floats(0, 1000)), max_size=20).map(
    lambda pairs: [Kept(str(at), size, made) for at, (size, made) in enumerate(pairs)]
)


@given(FILES, st.integers(0, 500), st.floats(0, 1000))
def test_what_stays_is_young_and_little_enough(files, max_size, oldest):
    going = set(outlived(files, max_size, oldest))
    stay = [file for file in files if file.name not in going]
    assert sum(file.size_bytes for file in stay) <= max_size
    assert all(file.made >= oldest for file in stay)


@given(FILES, st.integers(0, 500), st.floats(0, 1000))
def test_what_goes_is_too_old_or_older_than_all_that_fits(files, max_size, oldest):
    going = set(outlived(files, max_size, oldest))
    for file in files:
        if file.name in going and file.made >= oldest:
            newer = [one for one in files if one.made >= file.made]
            assert sum(one.size_bytes for one in newer) > max_size


def test_files_are_small_beside_the_bounds():
    recording = Recording(max_size=160 << 20, max_age_s=1600.0)
    assert (recording.segment_bytes, recording.segment_s) == (10 << 20, 100.0)
    assert Recording(max_size=1 << 20).segment_bytes == 64 << 10
