"""An artifact out of a bundle that a server sent."""

import httpx
import pytest

from prism_core import bundle as bundles
from prism_core import tars
from prism_core.bundle import Bundle, Config, FrozenArtifact, FrozenEnvironment
from prism_core.cli.exporting.fetching import fetched

CHURN = Bundle(
    model="churn",
    version=3,
    created=1.0,
    artifact=FrozenArtifact("m", "sha256:00", 1, True),
    loader="toy",
    plugin="toy 1",
    config=Config(),
    environment=FrozenEnvironment("3.11.7"),
)


@pytest.fixture
def sending(answering):
    """Return a client whose server answers with these files in a bundle."""

    def make(files):
        entries = [tars.Entry.of(name, content) for name, content in files.items()]
        length = {"content-length": str(tars.length(entries))}
        return answering(lambda request: httpx.Response(200, content=tars.stream(entries), headers=length))

    return make


def test_a_directory_is_placed_and_gone_afterwards(sending, tmp_path):
    files = {bundles.HEAD: bundles.encode(CHURN), "artifact/a": b"one", f"artifact/sub/{'n' * 120}": b"two"}
    with fetched(sending(files), "churn", 3, quiet=True, directory=tmp_path) as (bundle, artifact):
        found = {
            p.relative_to(artifact).as_posix(): p.read_bytes() for p in artifact.rglob("*") if p.is_file()
        }

    assert (bundle, found) == (CHURN, {"a": b"one", f"sub/{'n' * 120}": b"two"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../outside", "artifact/../../outside", "other"])
def test_nothing_is_written_elsewhere(sending, tmp_path, name):
    files = {bundles.HEAD: bundles.encode(CHURN), "artifact/a": b"one", name: b"two"}
    with fetched(sending(files), "churn", 3, quiet=True, directory=tmp_path) as (_, artifact):
        assert [p.name for p in artifact.parent.rglob("*")] == ["artifact", "a"]
        assert len(list(tmp_path.rglob("*"))) == 3
