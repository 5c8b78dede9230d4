"""The page of faults shows every scene of the harness, and no other."""

import re

from tests.system.faults.everything import SCENES


def test_every_scene_has_its_row(read_page):
    rows = re.findall(r"^\| (.+?) \| .+ \|$", read_page("reference/faults.md"), re.M)

    assert rows[0] == "fault"
    assert rows[1:] == [scene.name for scene in SCENES]
