"""A damaged artifact is noticed before it is loaded, and replaced by the next upload of the same bytes."""

from __future__ import annotations

import os

import pytest

from prism_core.errors import ArtifactDamaged
from prism_core.gateway import soundness
from prism_core.gateway.digests import digest_of
from prism_core.gateway.soundness import Soundness
from prism_core.gateway.store import Store


@pytest.fixture
def artifact(tmp_path, request):
    """A file, or a directory with files."""
    path = tmp_path / "artifact"
    if getattr(request, "param", "file") == "file":
        path.write_bytes(b"content")
    else:
        (path / "sub").mkdir(parents=True)
        (path / "model.json").write_bytes(b"{}")
        (path / "sub" / "weights").write_bytes(b"content")
    return path


def some_file(path):
    return path if path.is_file() else path / "sub" / "weights"


def change_a_byte(path):
    """Change content, and nothing that whoever changes it can choose."""
    file = some_file(path)
    before = file.stat()
    file.chmod(0o644)
    file.write_bytes(b"c0ntent")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("artifact", ["file", "directory"], indirect=True)
async def test_a_changed_byte_is_noticed(artifact):
    sound, digest = Soundness(), digest_of(artifact)[0]
    await sound.check(artifact, digest)
    change_a_byte(artifact)

    with pytest.raises(ArtifactDamaged, match=digest):
        await sound.check(artifact, digest)


@pytest.mark.parametrize("artifact", ["file", "directory"], indirect=True)
async def test_what_is_gone_is_damaged(artifact):
    sound, digest = Soundness(), digest_of(artifact)[0]
    await sound.check(artifact, digest)
    some_file(artifact).unlink()

    with pytest.raises(ArtifactDamaged):
        await sound.check(artifact, digest)


@pytest.mark.parametrize("artifact", ["file", "directory"], indirect=True)
async def test_what_nobody_has_touched_is_read_once(artifact, monkeypatch):
    sound, digest = Soundness(), digest_of(artifact)[0]
    await sound.check(artifact, digest)
    monkeypatch.setattr(soundness, "digest_of", None)

    await sound.check(artifact, digest)


async def test_the_same_bytes_replace_a_damaged_artifact(tmp_path):
    store = Store(tmp_path / "store", 1000)
    kept = await upload(store, b"content")
    change_a_byte(kept.path)
    again = await upload(store, b"content")

    assert again == kept
    assert kept.path.read_bytes() == b"content"
    await store.soundness.check(kept.path, kept.digest)


async def test_a_file_of_this_machine_stays_where_it_is_when_it_replaces_one(tmp_path, artifact):
    store = Store(tmp_path / "store", 1000)
    kept = await store.keep_path(artifact)
    change_a_byte(kept.path)
    await store.keep_path(artifact)

    assert artifact.read_bytes() == kept.path.read_bytes() == b"content"


async def upload(store, data):
    async with store.stage() as staged:
        await staged.write(data)
        return await store.keep(staged)
