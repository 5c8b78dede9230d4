"""What tells answers apart, in a store that outlives the process."""

from __future__ import annotations

import attrs
import pytest

from prism_core.gateway.salt import code_of, salt_of
from prism_core.manifest import Batching, Manifest
from prism_core.plugins import load_plugins

MANIFEST = Manifest(
    "churn", 1, "sklearn", "sklearn", "churn.pkl", "sha256:1", size_bytes=10, created=1.0, options={"a": 1}
)


@pytest.mark.parametrize(
    "change",
    [
        {"digest": "sha256:2"},
        {"version": 2},
        {"model": "other"},
        {"options": {"a": 2}},
        {"loader": "other"},
        {"environment": "other"},
    ],
)
def test_what_changes_an_answer_changes_the_salt(change):
    assert salt_of(attrs.evolve(MANIFEST, **change), "") != salt_of(MANIFEST, "")


@pytest.mark.parametrize(
    "change",
    [
        {"created": 2.0},
        {"replicas": 3},
        {"min_replicas": 0, "max_replicas": 4, "idle_unload_s": 60.0},
        {"pin": True},
        {"timeout_s": 1.0},
        {"preload": False},
        {"memory_limit_bytes": 1},
        {"batching": Batching(max_delay_ms=5)},
    ],
)
def test_how_a_version_is_run_does_not(change):
    assert salt_of(attrs.evolve(MANIFEST, **change), "") == salt_of(MANIFEST, "")


def test_other_code_has_other_answers():
    assert salt_of(MANIFEST, "sklearn 1.8") != salt_of(MANIFEST, "sklearn 1.9")


def test_the_code_is_the_plugin_and_what_it_needs():
    from importlib.metadata import version

    code = code_of(load_plugins(), "sklearn").split()

    assert f"scikit-learn={version('scikit-learn')}" in code
    assert f"numpy={version('numpy')}" in code
    assert f"prism-sklearn={version('prism-sklearn')}" in code
    assert not [fact for fact in code if fact.startswith("onnxruntime=")]


def test_a_loader_that_is_gone_is_no_error():
    assert "prism-core=" in code_of(load_plugins(()), "sklearn")
