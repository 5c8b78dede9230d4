"""See `models`: each scene asserts what it says."""

import pytest

from tests.system.faults.models import SCENES
from tests.system.faults.scene import parameters


@pytest.mark.parametrize("scene", parameters(SCENES))
def test_models(scene, play):
    play(scene)
