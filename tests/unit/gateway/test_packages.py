"""What the server's own environment has for a version: also what converts it, or runs the converted form."""

import attrs
import pytest

from prism_core.environment import Requirement
from prism_core.gateway.packages import Packages
from prism_core.manifest import Manifest
from prism_core.optimization import Optimization
from prism_core.plugins import load_plugins

MANIFEST = Manifest(
    *("rf", 1, "sklearn", "sklearn", "rf.pkl", "sha256:0", 1, 0.0),
    deterministic=True,
    row_independent=True,
    requirements=(Requirement("scikit-learn", "==1.7.2", "The pickle says so."),),
)
SERVED = Optimization(
    "served", loader="sklearn-onnx", digest="sha256:1", versions={"onnxruntime": "1", "not-installed": "1"}
)


class Asked:
    """Environments that remember what the server's own were asked for."""

    async def servers(self, distributions, requirements=()):
        self.distributions, self.requirements = distributions, {one.name: one for one in requirements}
        return None, "recipe.json"


@pytest.fixture
def asked():
    return Asked()


@pytest.fixture
def packages(asked):
    return Packages(load_plugins(), asked)


async def test_a_plain_version_has_its_loader_and_what_it_asks_for(packages, asked):
    assert await packages.recipe(MANIFEST) == "recipe.json"

    assert {"prism-core", "prism-sklearn"} <= set(asked.distributions)
    assert set(asked.requirements) == {"scikit-learn"}


async def test_a_conversion_has_what_converts_too(packages, asked):
    await packages.recipe(MANIFEST, packages.plugins.optimizer("sklearn"))

    assert {"skl2onnx", "onnxruntime"} < set(asked.requirements)
    assert asked.requirements["scikit-learn"].specifier == "==1.7.2"


async def test_a_converted_form_has_what_runs_it_as_far_as_it_is_here(packages, asked):
    await packages.recipe(attrs.evolve(MANIFEST, optimization=SERVED))

    assert set(asked.requirements) == {"scikit-learn", "onnxruntime"}


async def test_a_form_that_is_not_served_needs_nothing(packages, asked):
    await packages.recipe(attrs.evolve(MANIFEST, optimization=attrs.evolve(SERVED, state="failed")))

    assert set(asked.requirements) == {"scikit-learn"}
