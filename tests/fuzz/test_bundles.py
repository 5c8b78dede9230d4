"""Damaged bundles: read as they were, or refused."""

import tempfile
from pathlib import Path

import pytest

from prism_core import bundle as bundles
from prism_core import tars
from prism_core.bundle import Bundle, Config, FrozenArtifact, FrozenEnvironment, Locked
from prism_core.errors import ArtifactError, InvalidParameter
from prism_core.gateway.bundling import read
from prism_core.gateway.merging import Machine, merge
from prism_core.gateway.views import UploadRequest
from prism_core.testing.fuzzing import fuzz

pytestmark = pytest.mark.sweep

BUNDLE = Bundle(
    model="churn",
    version=3,
    created=1.0,
    artifact=FrozenArtifact("churn.pkl", "sha256:00", 7, False),
    loader="sklearn",
    plugin="prism-sklearn 0.1.0",
    config=Config({"outputs": "predictions"}, replicas=2),
    environment=FrozenEnvironment("3.11.7", (Locked("numpy", "2.1.0"),)),
    trust=("mine:Scaler",),
)
TOKENS = [
    b'"',
    b"{}",
    b"[]",
    b"null",
    b"-1",
    b"1e400",
    b"\\u0000",
    b'"config":',
    b'"lock":',
    b"99999999999999999999",
]


def test_what_a_damaged_bundle_says_is_refused():
    """Its digest is made right, so that what is damaged is what is read."""

    def said(data):
        head = b'{"format":1,"prism":"0","digest":"%b","contents":%b}'
        found = bundles.decode(head % (bundles._digest(data).encode(), data))
        merge(UploadRequest(filename="bundle"), (), found, Machine(2, 1 << 30))

    contents = bundles.encode(BUNDLE).partition(b'"contents":')[2].rstrip(b"}\n") + b"}"
    said(contents)
    fuzz(said, [contents], cases=5000, allowed=(ArtifactError, InvalidParameter), tokens=TOKENS)


def test_a_damaged_tar_is_read_or_refused():
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "artifact").write_bytes(b"weights")
        whole = b"".join(tars.stream(bundles.entries(BUNDLE, root / "artifact")))

        def looked_at(data):
            (root / "bundle").write_bytes(data)
            assert read(root / "bundle") == BUNDLE

        fuzz(looked_at, [whole], cases=2000, allowed=(ArtifactError,))
