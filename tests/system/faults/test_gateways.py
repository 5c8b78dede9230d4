"""See `gateways`: each scene asserts what it says."""

import pytest

from tests.system.faults.gateways import SCENES
from tests.system.faults.scene import parameters


@pytest.mark.parametrize("scene", parameters(SCENES))
def test_gateways(scene, play):
    play(scene)
