"""A version as a file: its length is told first, and errors come with a status of their own."""

from __future__ import annotations

import io
import tarfile

import pytest

from prism_core import bundle as bundles
from prism_core.errors import ArtifactDamaged

ROUTE = "/admin/v1/models/churn/versions/2/bundle"


@pytest.mark.parametrize("size", [7, 512, 3 << 20])
async def test_a_bundle_is_as_long_as_it_was_told(admin, gateway, size):
    """Also where a file ends with a block of the tar."""
    gateway.weights = b"w" * size
    answer = await admin.get(ROUTE)

    assert answer.status_code == 200
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert answer.headers["content-type"] == bundles.MEDIA_TYPE
    assert answer.headers["content-disposition"] == 'attachment; filename="churn-2.prism"'
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as tar:
        assert bundles.decode(tar.extractfile(bundles.HEAD).read()).version == 2
        assert tar.extractfile(bundles.ARTIFACT).read() == gateway.weights


async def test_the_same_version_is_the_same_bytes(admin):
    assert (await admin.get(ROUTE)).content == (await admin.get(ROUTE)).content


async def test_its_head_alone(admin):
    answer = await admin.head(ROUTE)

    assert (answer.status_code, answer.content) == (200, b"")


async def test_a_version_that_is_not_there(admin, problem_of):
    answer = await admin.get("/admin/v1/models/chrn/versions/2/bundle")

    assert problem_of(answer)["code"] == "model_not_found"


async def test_an_artifact_that_is_damaged_is_not_sent(admin, gateway, problem_of):
    gateway.fails = ArtifactDamaged("The stored artifact is damaged.")

    assert problem_of(await admin.get(ROUTE))["code"] == "artifact_damaged"


async def test_who_leaves_stops_it(wire, gateway):
    """What is left is not read."""
    request = wire("GET", ROUTE)
    await request.until(b"prism-bundle.json")
    request.hang_up()
    await request.task


async def test_it_needs_the_token(stranger):
    assert (await stranger.get(ROUTE)).status_code == 401
