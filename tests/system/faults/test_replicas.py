"""See `replicas`: each scene asserts what it says."""

import pytest

from tests.system.faults.replicas import SCENES
from tests.system.faults.scene import parameters


@pytest.mark.parametrize("scene", parameters(SCENES))
def test_replicas(scene, play):
    play(scene)
