"""Tars from strangers: what is refused before it is acted on, and why."""

import bz2
import gzip
import lzma
import tarfile

import attrs
import pytest

from prism_core.errors import ArtifactError, ArtifactTooLarge, PrismError, UnsafeArtifact
from prism_core.gateway.store import Store, digest_of
from prism_core.gateway.unpack import MAX_META_BYTES, extract
from prism_core.limits import Limits

MAX_BYTES = 1 << 20
END = bytes(1024)


def entry(name="a", data=b"", size=None, kind=tarfile.REGTYPE):
    """Return one entry as it stands in a tar; ``size`` is what its header claims."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(data) if size is None else size
    head = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    return bytes(head) + data + bytes(-len(data) % 512)


def attributes(kind=tarfile.XHDTYPE, **said):
    """Return a header of attributes for the entry that follows."""
    lines = [f" {key.replace('_', '.')}={value}\n".encode() for key, value in said.items()]
    data = b"".join(b"%d%b" % (len(line) + len(str(len(line) + 2)), line) for line in lines)
    return entry("attributes", data, kind=kind)


def long_name(data, size=None):
    return entry("././@LongLink", data, size, tarfile.GNUTYPE_LONGNAME)


@pytest.fixture
def unpack(tmp_path):
    """Unpack bytes as a tar."""

    def unpack(data, max_bytes=MAX_BYTES, **limits):
        archive, target = tmp_path / "archive", tmp_path / "content"
        archive.write_bytes(data)
        extract(archive, target, max_bytes, Limits(**limits))
        return {p.relative_to(target).as_posix(): p.read_bytes() for p in target.rglob("*") if p.is_file()}

    return unpack


@pytest.mark.parametrize("packed", [bytes, gzip.compress, bz2.compress], ids=["plain", "gzip", "bzip2"])
def test_a_good_tar_is_unpacked(unpack, packed):
    data = entry("sub/", kind=tarfile.DIRTYPE) + entry("sub/a", b"one") + long_name(b"b" * 200) + entry("x")

    assert unpack(packed(data + END)) == {"sub/a": b"one", "b" * 200: b""}


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (entry(size=-512), "negative size"),
        (entry("d", kind=tarfile.DIRTYPE, size=-1024), "negative size"),
        (attributes(size="-1024") + entry(), "negative size"),
        (long_name(bytes(MAX_META_BYTES + 1)) + entry(), f"{MAX_META_BYTES + 1} bytes"),
        (long_name(b"x", 1 << 30), f"{1 << 30} bytes"),
        (entry("pax", size=1 << 33, kind=tarfile.XHDTYPE), "attributes of"),
        (attributes(tarfile.XGLTYPE, comment="1") * 2 + entry(), "twice"),
        (entry("hole", kind=tarfile.GNUTYPE_SPARSE), "sparse"),
        (attributes(GNU_sparse_map="0,1", GNU_sparse_size=1 << 40) + entry("hole", b"x"), "sparse"),
        (entry("a" * 99 + "/") + long_name(b"n" * 256) + entry(), "too long"),
        (long_name(b"/".join([b"d"] * 2000)) + entry(), "too long"),
        (entry("."), "twice"),
        (entry("a") + entry("a/b"), "twice"),
        (entry("a/b") + entry("a"), "twice"),
        (entry("d/b") + entry("d/b/", kind=tarfile.DIRTYPE), "twice"),
        (long_name(b"\xff.bin") + entry(), "not UTF-8"),
        (entry("link", kind=tarfile.SYMTYPE), "neither a file nor a directory"),
    ],
)
def test_a_hostile_tar_is_refused(unpack, data, why):
    with pytest.raises(UnsafeArtifact, match=why):
        unpack(data + END)


@pytest.mark.parametrize(
    "data",
    [
        lzma.compress(entry() + END),
        gzip.compress(entry("a", b"x" * 2000) + END)[:-60],
        b"\x1f\x8b" + b"x" * 600,
        b"BZh9" + b"x" * 600,
        long_name(b"n") * 2000 + entry(),
    ],
    ids=["xz", "cut", "no-gzip", "no-bzip2", "names-without-end"],
)
def test_what_cannot_be_read_is_no_tar(unpack, data):
    with pytest.raises(ArtifactError, match="whole tar"):
        unpack(data)


@pytest.mark.parametrize(
    ("data", "limits", "why"),
    [
        (b"".join(entry(f"f{at}") for at in range(4)), {"max_files": 3}, "limits.max_files"),
        (entry("d/", kind=tarfile.DIRTYPE) * 4, {"max_files": 3}, "limits.max_files"),
        (gzip.compress(entry("zeros", bytes(4096)) + END), {"max_unpacked": 4000}, "limits.max_unpacked"),
        (entry("a", b"x" * 600) * 2, {"max_bytes": 1000}, "limits.max_artifact"),
    ],
    ids=["files", "directories", "unpacked", "bytes"],  # gzip writes the time into what would be the id
)
def test_too_much_is_refused_with_the_setting(unpack, data, limits, why):
    with pytest.raises(ArtifactTooLarge) as caught:
        unpack(data + END, **limits)

    assert why in caught.value.hint


def test_a_plain_tar_has_no_ratio(unpack):
    assert unpack(entry("zeros", bytes(4096)) + END, max_unpacked=4000)


def test_a_ratio_is_judged_from_64_megabytes_on():
    limits = Limits(max_ratio=100)
    limits.check_unpacked(10, 64 << 20)
    limits.check_unpacked(1 << 20, 100 << 20)

    with pytest.raises(ArtifactTooLarge, match="100 times"):
        limits.check_unpacked(10, (64 << 20) + 1)
    with pytest.raises(ArtifactTooLarge, match="100 times"):
        limits.check_unpacked(1 << 20, (100 << 20) + 1)


async def test_nothing_of_a_hostile_tar_is_kept(tmp_path):
    store = Store(tmp_path / "store", MAX_BYTES, limits=attrs.evolve(Limits(), max_files=1))
    async with store.stage() as staged:
        await staged.write(entry("a", b"1") + entry("b", b"2") + END)
        with pytest.raises(PrismError):
            await store.keep(staged, directory=True)

    assert list(store.directory.iterdir()) == []


def test_a_name_that_is_no_utf8_has_a_digest(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "\udcff").write_bytes(b"1")

    assert digest_of(tmp_path / "model")[1] == 1
