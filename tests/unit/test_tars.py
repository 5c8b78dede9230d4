"""Tars of files: the same files are the same bytes, and how many is known before."""

import io
import tarfile

from hypothesis import given
from hypothesis import strategies as st

from prism_core import tars

NAMES = st.lists(st.text("abé/", min_size=1, max_size=120).filter(lambda n: n.strip("/")), max_size=4)


@given(NAMES, st.binary(max_size=1500))
def test_a_stream_is_as_long_as_it_says_and_any_tar_program_reads_it(names, content):
    entries = [tars.Entry.of(f"a/{name.strip('/')}", content) for name in names]
    data = b"".join(tars.stream(entries))

    assert len(data) == tars.length(entries)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert [tar.extractfile(member).read() for member in tar.getmembers()] == [content] * len(names)


def test_files_and_bytes_are_told_alike(tmp_path):
    (tmp_path / "a").write_bytes(b"content")

    assert list(tars.Entry.of("x", tmp_path / "a").chunks()) == list(tars.Entry.of("x", b"content").chunks())
