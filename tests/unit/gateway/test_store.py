"""Artifacts by the digest of their content."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prism_core.errors import ArtifactError, ArtifactTooLarge, UnsafeArtifact
from prism_core.gateway.store import Store, digest_of
from prism_core.gateway.unpack import extract, safe_name


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "artifacts", max_bytes=50_000)


async def keep(store, data, **how):
    async with store.stage() as staged:
        for start in range(0, len(data), 700):
            await staged.write(data[start : start + 700])
        return await store.keep(staged, **how)


def names(store):
    return sorted(path.name for path in store.directory.iterdir())


def tar_of(files, order=None, **info):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in order or files:
            member = tarfile.TarInfo(name)
            member.size = len(files[name])
            for key, value in info.items():
                setattr(member, key, value)
            tar.addfile(member, io.BytesIO(files[name]))
    return buffer.getvalue()


async def test_an_artifact_lies_under_its_sha256(store):
    kept = await keep(store, b"hello")

    assert kept.digest == "sha256:" + hashlib.sha256(b"hello").hexdigest()
    assert kept.path.read_bytes() == b"hello"
    assert (kept.size_bytes, kept.path.stat().st_mode & 0o777) == (5, 0o444)


async def test_what_is_not_kept_is_gone(store):
    async with store.stage() as staged:
        await staged.write(b"hello")

    assert names(store) == []


async def test_the_same_bytes_are_stored_once(store):
    first, second = await keep(store, b"hello"), await keep(store, b"hello")

    assert first == second
    assert len(names(store)) == 1


async def test_the_last_holder_removes_it(store):
    digest = (await keep(store, b"hello")).digest
    store.hold(digest)

    await store.release(digest)
    assert len(names(store)) == 1
    await store.release(digest)
    assert names(store) == []


async def test_too_many_bytes_are_refused_as_they_come(store):
    async with store.stage() as staged:
        await staged.write(b"x" * 50_000)
        with pytest.raises(ArtifactTooLarge, match="50000"):
            await staged.write(b"x")

    assert names(store) == []


async def test_collect_leaves_what_is_needed(store):
    needed = await keep(store, b"needed")
    await keep(store, b"garbage")
    (store.directory / "incoming-abc").write_bytes(b"half")

    store.collect([needed.digest])

    assert names(store) == [needed.path.name]


async def test_a_directory_comes_as_a_tar(store):
    kept = await keep(store, tar_of({"a.bin": b"1", "sub/b.bin": b"22"}), directory=True)

    assert (kept.path / "sub/b.bin").read_bytes() == b"22"
    assert kept.size_bytes == 3
    assert len(names(store)) == 1


async def test_a_directory_has_one_digest_however_it_was_packed(store):
    files = {"a": b"1", "b/c": b"2"}
    one = await keep(store, tar_of(files, mtime=1), directory=True)
    other = await keep(store, tar_of(files, order=["b/c", "a"], mtime=2, uid=7), directory=True)

    assert one == other


async def test_a_tar_beyond_the_limit_is_refused(store):
    packed = gzip.compress(tar_of({"a": b"x" * 50_001}))
    with pytest.raises(ArtifactTooLarge):
        await keep(store, packed, directory=True)

    assert names(store) == []


@pytest.mark.parametrize("data", [b"", b"not a tar at all", tar_of({"a": b"x" * 600})[:700]])
async def test_what_is_not_a_whole_tar_is_refused(tmp_path, data):
    store = Store(tmp_path / "s", max_bytes=100_000)
    with pytest.raises(ArtifactError, match="tar"):
        await keep(store, data, directory=True)

    assert names(store) == []


@pytest.mark.parametrize("name", ["/etc/passwd", "../up", "a/../../up", "a\\b"])
def test_names_that_lead_out_are_refused(name):
    with pytest.raises(UnsafeArtifact, match="leads out"):
        safe_name(tarfile.TarInfo(name))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(kind):
    member = tarfile.TarInfo("a")
    member.type = kind

    with pytest.raises(UnsafeArtifact, match="neither a file nor a directory"):
        safe_name(member)


@settings(max_examples=60, deadline=None)
@given(st.text("./\\a\0~", min_size=1, max_size=12))
def test_no_name_leads_out(tmp_path_factory, name):
    root = tmp_path_factory.getbasetemp() / "content"
    try:
        path = root / safe_name(tarfile.TarInfo(name))
    except UnsafeArtifact:
        return

    assert os.path.commonpath([root, os.path.normpath(path)]) == str(root)


def test_a_name_twice_is_refused(tmp_path):
    archive = tmp_path / "twice.tar"
    with tarfile.open(archive, "w") as tar:
        for _ in range(2):
            tar.addfile(tarfile.TarInfo("a"), io.BytesIO())

    with pytest.raises(UnsafeArtifact, match="twice"):
        extract(archive, tmp_path / "content", 1000)


async def test_a_file_of_this_machine_is_copied(store, tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(b"hello")

    kept = await store.keep_path(path)

    assert kept == await keep(store, b"hello")
    assert path.exists()


async def test_a_directory_of_this_machine_has_the_digest_of_its_tar(store, tmp_path):
    (tmp_path / "model/sub").mkdir(parents=True)
    (tmp_path / "model/sub/a").write_bytes(b"1")

    kept = await store.keep_path(tmp_path / "model")

    assert kept == await keep(store, tar_of({"sub/a": b"1"}), directory=True)


def test_a_digest_tells_names_from_contents(tmp_path):
    for name, files in {"one": {"a": b"b"}, "two": {"ab": b""}, "three": {"b": b"a"}}.items():
        (tmp_path / name).mkdir()
        for file, content in files.items():
            (tmp_path / name / file).write_bytes(content)

    assert len({digest_of(tmp_path / name)[0] for name in ("one", "two", "three")}) == 3
