"""What is stored for a version comes back as it was, also from another PRISM."""

import json
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.limits import Limits
from prism_core.manifest import Batching, Manifest
from prism_core.protocols import ReplicaSpec

texts = st.text(max_size=20)
plain = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts
options = st.dictionaries(texts, plain | st.lists(plain, max_size=3), max_size=3)

manifests = st.builds(
    Manifest,
    model=texts,
    version=st.integers(1, 10**6),
    loader=texts,
    plugin=texts,
    artifact=texts,
    digest=texts,
    size_bytes=st.integers(0, 2**53),
    created=st.floats(0, 1e11),
    options=options,
    deterministic=st.booleans(),
    trust=st.lists(texts, max_size=2).map(tuple),
    warnings=st.lists(texts, max_size=2).map(tuple),
    batching=st.builds(Batching, max_batch_rows=st.integers(1, 9999), max_delay_ms=st.floats(0, 1000)),
)
CHURN = Manifest("churn", 3, "sklearn", "sklearn", "churn_model.pkl", "sha256:0", 10, 1.5)


@given(manifests)
def test_a_manifest_comes_back_as_it_was(manifest):
    assert Manifest.from_json(manifest.to_json()) == manifest


def test_a_manifest_is_read_from_a_file(tmp_path):
    path = tmp_path / "manifest.json"
    path.write_bytes(CHURN.to_json())

    assert Manifest.read(path) == CHURN


def test_fields_of_a_newer_prism_are_ignored():
    stored = json.loads(CHURN.to_json()) | {"from_the_future": {"a": 1}}

    assert Manifest.from_json(json.dumps(stored).encode()) == CHURN


def test_fields_that_an_older_prism_did_not_write_have_their_default():
    optional = {a.name for a in attrs.fields(Manifest) if a.default is not attrs.NOTHING}
    stored = {k: v for k, v in json.loads(CHURN.to_json()).items() if k not in optional}

    assert Manifest.from_json(json.dumps(stored).encode()) == CHURN


@pytest.mark.parametrize("field", [a.name for a in attrs.fields(Manifest)])
def test_a_manifest_never_changes(field):
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(CHURN, field, None)


def test_a_replica_spec_comes_back_with_its_paths():
    directory = Path("/data/replicas/churn-3-0")
    spec = ReplicaSpec(
        "churn-3-0",
        manifest=directory / "manifest.json",
        artifact=Path("/data/artifacts/ab"),
        directory=directory,
        plugins=("sklearn",),
        warm=("sklearn", "joblib"),
        environment="server",
        python="/usr/bin/python3",
        threads=2,
        token="secret",
        limits=Limits(max_pixels=7),
    )

    assert ReplicaSpec.from_json(spec.to_json()) == spec
