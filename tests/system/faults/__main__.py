"""Play all scenes and print what was seen: ``python -m tests.system.faults [--publish] [WORD ...]``.

Words choose scenes by their names. ``--publish`` writes the table into docs/reference/faults.md.
"""

from __future__ import annotations

import sys
import tempfile
import traceback
from pathlib import Path

from tests.system.faults.everything import SCENES
from tests.system.faults.scene import Scene, Seen
from tests.system.faults.stage import open_stage
from tests.system.faults.table import publish, row


def chosen(words: list[str]) -> list[Scene]:
    return [scene for scene in SCENES if all(word in scene.name for word in words)]


def main(arguments: list[str]) -> int:
    words = [one for one in arguments if not one.startswith("--")]
    seen: dict[str, Seen] = {}
    with tempfile.TemporaryDirectory() as directory, open_stage(Path(directory)) as stage:
        for scene in chosen(words):
            try:
                seen[scene.name] = scene.run(stage)
            except Exception:
                print(f"FAILED: {scene.name}", flush=True)
                traceback.print_exc()
            else:
                print(row(scene.name, seen[scene.name]), flush=True)
    if "--publish" in arguments:
        publish(seen, [scene.name for scene in SCENES])
    return len(seen) < len(chosen(words))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
