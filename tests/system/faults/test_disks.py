"""See `disks`: each scene asserts what it says."""

import pytest

from tests.system.faults.disks import SCENES
from tests.system.faults.scene import parameters


@pytest.mark.parametrize("scene", parameters(SCENES))
def test_disks(scene, play):
    play(scene)
