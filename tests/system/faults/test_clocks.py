"""See `clocks`: each scene asserts what it says."""

import pytest

from tests.system.faults.clocks import SCENES
from tests.system.faults.scene import parameters


@pytest.mark.parametrize("scene", parameters(SCENES))
def test_clocks(scene, play):
    play(scene)
