"""All scenes, in the order of the table."""

from __future__ import annotations

from tests.system.faults import clients, clocks, disks, gateways, models, replicas

SCENES = (*replicas.SCENES, *models.SCENES, *disks.SCENES, *clocks.SCENES, *gateways.SCENES, *clients.SCENES)
