"""Damaged tars: unpacked inside of their directory, or refused."""

import bz2
import gzip
import io
import shutil
import tarfile
import tempfile
from pathlib import Path

import pytest

from prism_core.errors import ArtifactError
from prism_core.gateway.unpack import extract
from prism_core.limits import Limits
from prism_core.testing.fuzzing import fuzz

pytestmark = pytest.mark.sweep

KINDS = [tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_SPARSE, tarfile.XHDTYPE]


def tar_of(form, **files):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=form) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return data.getvalue()[:4096]


def checked(archive):
    """Return the tar with the checksums that its headers should have: without them nothing is read."""
    data = bytearray(archive)
    for at in range(0, len(data) - 511, 512):
        head = data[at : at + 512]
        if head[257:262] == b"ustar":
            head[148:156] = b" " * 8
            data[at + 148 : at + 156] = b"%06o\0 " % sum(head)
    return bytes(data)


FILES = {"model.onnx": b"x" * 700, "sub/weights": b"w" * 20}
PLAIN = [
    tar_of(tarfile.USTAR_FORMAT, **FILES),
    tar_of(tarfile.GNU_FORMAT, **FILES, **{"n" * 120: b"1"}),
    tar_of(tarfile.PAX_FORMAT, **FILES, **{"é" * 80: b"1"}),
]


@pytest.fixture
def unpacked():
    """Unpack bytes in memory, as far as the machine has a file system there."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as name:
        root = Path(name)

        def unpack(data):
            (root / "archive").write_bytes(data)
            try:
                extract(root / "archive", root / "content", 100_000, Limits(max_files=20))
                assert all(p.is_dir() or p.is_file() for p in (root / "content").rglob("*"))
            finally:
                shutil.rmtree(root / "content")
                assert [p.name for p in root.iterdir()] == ["archive"]

        yield unpack


@pytest.mark.parametrize("pack", [checked, gzip.compress, bz2.compress], ids=["plain", "gzip", "bzip2"])
def test_a_damaged_tar_is_unpacked_or_refused(unpacked, pack):
    cases = 3000 if pack is checked else 600
    unpack = (lambda data: unpacked(checked(data))) if pack is checked else unpacked
    report = fuzz(unpack, [pack(one) for one in PLAIN], cases=cases, allowed=(ArtifactError,), tokens=KINDS)

    assert 0 < report.refused < report.cases


def test_a_damaged_tar_inside_of_a_whole_packing(unpacked):
    fuzz(lambda data: unpacked(gzip.compress(checked(data), 1)), PLAIN, cases=1000, allowed=(ArtifactError,))
