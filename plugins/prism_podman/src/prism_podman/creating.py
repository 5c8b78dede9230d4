"""Turn a replica's spec into a container: its walls, its bounds, its command. Pure.

Every keyword here was looked up from inside a container: podman-py takes others without a word
and drops them (`nano_cpus`, `security_opt=["no-new-privileges"]`, `userns_mode="auto"`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from prism_core.plugin import ReplicaSpec, numeric_variables
from prism_podman.config import MB, PodmanConfig
from prism_podman.facts import Facts
from prism_podman.ids import Ids
from prism_podman.layout import IPC, PORT, SOCKET, SPEC, WORK, Layout

PERIOD_US = 100_000
FILES = 1024
MAX_LOG_BYTES = 10 * MB
# As in the backend `process`: an allocation far beyond the limit becomes a MemoryError of the
# model; what is really used is bounded by the container, or else by the server's watch.
RESERVED_PER_LIMIT = 2
HEADROOM_BYTES = 256 * MB
# When memory runs out the kernel takes a replica before what it was started from.
OOM_SCORE = 500

SERVER, MODEL, VERSION, REPLICA = "prism.server", "prism.model", "prism.version", "prism.replica"
BLOCK, BASE = "prism.block", "prism.directory"


@attrs.frozen
class Wanted:
    """One container that is to be made."""

    name: str
    image: str
    python: str
    layout: Layout
    ids: Ids
    labels: Mapping[str, str]
    disk_bytes: int = 0

    @property
    def spec(self) -> ReplicaSpec:
        """What the gateway asked for."""
        return self.layout.spec


@attrs.frozen
class Bounds:
    """What one container may take."""

    memory_bytes: int
    cpus: int
    processes: int
    tmp_bytes: int
    file_bytes: int


def bounds_of(spec: ReplicaSpec, config: PodmanConfig, facts: Facts, converts: bool) -> Bounds:
    """Return what a container may take of the machine that ``facts`` tells of."""
    return Bounds(
        memory_bytes=spec.memory_limit_bytes or int(config.memory_share * facts.memory_bytes),
        cpus=spec.threads,
        processes=config.max_threads,
        tmp_bytes=config.tmp,
        file_bytes=max(config.tmp, config.optimize_disk if converts else 0),
    )


def arguments(
    wanted: Wanted, config: PodmanConfig, facts: Facts, environ: Mapping[str, str]
) -> dict[str, Any]:
    """Return the keywords of podman-py's ``containers.create``; ``environ`` is the gateway's."""
    bounds = bounds_of(wanted.spec, config, facts, wanted.layout.converts)
    unix = config.address == "unix"
    return {
        **wanted.ids.arguments(),
        **walls(),
        **limits(bounds, facts),
        **network(unix),
        "name": wanted.name,
        "hostname": "prism",
        "labels": dict(wanted.labels),
        "entrypoint": [wanted.python],
        "command": command(unix),
        "environment": variables(wanted.spec, config, environ),
        "working_dir": str(WORK) if wanted.layout.converts else "/tmp",
        "mounts": wanted.layout.mounts(bounds.tmp_bytes),
        "shm_size": bounds.tmp_bytes,
        "log_config": {
            "Type": "k8s-file",
            "Config": {"path": str(wanted.layout.log), "size": MAX_LOG_BYTES},
        },
    }


def command(unix: bool) -> list[str]:
    """Return the arguments of the interpreter."""
    sign = f"{IPC}/{SOCKET}"
    address = [f"unix:{sign}"] if unix else [f"tcp:0.0.0.0:{PORT}", "--mark", sign]
    return ["-P", "-m", "prism_core.runtime", str(SPEC), "--listen", *address]


def walls() -> dict[str, Any]:
    """Return what every container is denied."""
    return {
        "read_only": True,
        "read_write_tmpfs": False,  # its own /tmp is mounted, with a size
        "cap_drop": ["ALL"],
        "no_new_privileges": True,
        "umask": "0000",  # the gateway is another user to it: socket and converted models are for both
        "use_config_proxy": False,  # the machine's proxy may have a password
        "restart_policy": {"Name": "no"},  # that is the gateway's business
        "stop_timeout": 0,
        "oom_score_adj": OOM_SCORE,
    }


def network(unix: bool) -> dict[str, Any]:
    """Return no network at all, or a port of this machine's loopback that Podman chooses."""
    if unix:
        return {"network_mode": "none"}
    return {"ports": {f"{PORT}/tcp": ("127.0.0.1", 0)}}


def limits(bounds: Bounds, facts: Facts) -> dict[str, Any]:
    """Return the bounds that hold here; those of the process itself hold everywhere."""
    found: dict[str, Any] = {"ulimits": [_both(name, value) for name, value in rlimits(bounds).items()]}
    if facts.bounds("memory"):
        found |= {"mem_limit": bounds.memory_bytes, "memswap_limit": bounds.memory_bytes}
    if facts.bounds("cpu"):
        found |= {"cpu_period": PERIOD_US, "cpu_quota": bounds.cpus * PERIOD_US}
    if facts.bounds("pids"):
        found |= {"pids_limit": bounds.processes}
    return found


def rlimits(bounds: Bounds) -> dict[str, int]:
    """Return the limits of the process itself, by Podman's names for them."""
    return {
        "core": 0,
        "nofile": FILES,
        "nproc": bounds.processes,
        "fsize": bounds.file_bytes,
        "data": RESERVED_PER_LIMIT * bounds.memory_bytes + HEADROOM_BYTES,
    }


def variables(spec: ReplicaSpec, config: PodmanConfig, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables inside; nothing of the gateway's but what is named."""
    named = {name: environ[name] for name in config.variables if name in environ}
    return {
        "HOME": "/tmp",
        "USER": "prism",
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        **numeric_variables(spec.threads),
        **named,
    }


def _both(name: str, value: int) -> dict[str, Any]:
    return {"Name": name, "Soft": value, "Hard": value}
