"""What the audit log holds of uploads."""

import hashlib

import pytest

from prism_core.audit import FILE, opened, read
from prism_core.errors import AuditFailed, PrismError


def logged(data) -> list:
    return [opened(line.rstrip(b"\n"))[0] for line in read(data)]


def told(data) -> list:
    return [(entry.action, entry.subject) for entry in logged(data)]


async def test_an_upload_and_its_repetition(desk, tmp_path):
    version, _ = await desk.upload(b"one", alias="best")
    await desk.upload(b"one")

    first, second = logged(tmp_path)
    assert (first.action, first.subject) == (second.action, second.subject) == ("model.upload", "churn/1")
    assert first.facts == {"digest": version.manifest.digest, "loader": "toy", "alias": "best"}
    assert second.facts["duplicate"] is True


async def test_names_that_were_trusted_are_told_before_anything_is_loaded(desk, tmp_path):
    await desk.upload(b"one", trust=("a.b",))

    assert told(tmp_path) == [("trust.given", "churn/1"), ("model.upload", "churn/1")]
    assert logged(tmp_path)[0].facts["names"] == ["a.b"]


async def test_what_the_server_finds_as_it_was_is_no_action(desk, tmp_path):
    await desk.upload(b"one", anew=False)
    await desk.upload(b"one", anew=False)

    assert told(tmp_path) == [("model.upload", "churn/1")]
    assert logged(tmp_path)[0].actor.by == "server"


async def test_a_model_that_does_not_load(desk, tmp_path):
    digest = f"sha256:{hashlib.sha256(b'one').hexdigest()}"
    desk.supervisor.broken.add(digest)
    with pytest.raises(PrismError):
        await desk.upload(b"one")

    (entry,) = logged(tmp_path)
    assert (entry.action, entry.subject) == ("model.upload.failed", "churn")
    assert entry.facts["code"] == "model_load_failed"
    assert (entry.facts["step"], entry.facts["digest"]) == ("start", digest)


async def test_nothing_is_loaded_or_stored_that_could_not_be_told(desk, tmp_path):
    (tmp_path / FILE).unlink()
    (tmp_path / FILE).symlink_to("/dev/full")
    for request in ({}, {"trust": ("a.b",)}):
        with pytest.raises(AuditFailed):
            await desk.upload(b"one", **request)

    assert desk.serves("churn") is None
    assert desk.files == []
    assert desk.supervisor.started == [("churn", 1)]  # without trust it was tried, and ended again
