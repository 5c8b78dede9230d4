"""All scenes, in the order of the table."""

from __future__ import annotations

from tests.system.faults import replicas

SCENES = (*replicas.SCENES,)
