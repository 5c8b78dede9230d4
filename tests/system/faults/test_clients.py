"""See `clients`: each scene asserts what it says."""

import pytest

from tests.system.faults.clients import SCENES
from tests.system.faults.scene import parameters


@pytest.mark.parametrize("scene", parameters(SCENES))
def test_clients(scene, play):
    play(scene)
