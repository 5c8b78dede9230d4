"""From a replica's spec to a container, by table: what it is denied, what it may take, what it sees."""

import os
from pathlib import Path

import attrs
import pytest

from prism_core.plugin import OPTIMIZE, ReplicaSpec
from prism_podman.config import MB, PodmanConfig
from prism_podman.creating import Wanted, arguments
from prism_podman.facts import Facts
from prism_podman.ids import ids
from prism_podman.layout import Layout

ALL = frozenset({"cpu", "memory", "pids"})
V2 = Facts("4.9.3", True, "v2", ALL, "crun", "overlay", 8192 * MB, 65537)
V1 = attrs.evolve(V2, cgroup="v1")
ROOT = attrs.evolve(V1, rootless=False, numbers=0)
SPEC = ReplicaSpec(
    *("churn-1-0", Path("/data/m.json"), Path("/data/a"), Path("/data/churn-1-0")),
    *((), (), "server", "/usr/bin/python3"),
    threads=2,
    memory_limit_bytes=512 * MB,
    private=(Path("/data"),),
    recipe=Path("/data/env.json"),
)


def made(facts=V2, spec=SPEC, environ=None, **config):
    layout = Layout(Path("/run/p/1"), spec)
    users = ids(0, facts.rootless, facts.numbers)
    wanted = Wanted("prism-x", "image:1", "/usr/bin/python3", layout, users, {"prism.model": "churn"})
    return arguments(wanted, PodmanConfig(**config), facts, environ or {})


def mounted(given):
    return {mount["target"]: mount for mount in given["mounts"]}


@pytest.mark.parametrize("facts", [V2, V1, ROOT])
@pytest.mark.parametrize("address", ["unix", "tcp"])
@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("read_only", True),
        ("read_write_tmpfs", False),
        ("cap_drop", ["ALL"]),
        ("no_new_privileges", True),
        ("use_config_proxy", False),
        ("restart_policy", {"Name": "no"}),
        ("userns_mode", "private"),
    ],
)
def test_every_container_is_denied(facts, address, keyword, value):
    assert made(facts, address=address)[keyword] == value


@pytest.mark.parametrize("silent", ["security_opt", "nano_cpus", "cpu_count", "tmpfs", "init", "privileged"])
def test_nothing_is_asked_for_that_would_be_dropped_without_a_word(silent):
    assert silent not in made()


@pytest.mark.parametrize(
    ("facts", "bounds"),
    [
        (V2, {"mem_limit", "memswap_limit", "cpu_period", "cpu_quota", "pids_limit"}),
        (ROOT, {"mem_limit", "memswap_limit", "cpu_period", "cpu_quota", "pids_limit"}),
        (
            attrs.evolve(V2, controllers=frozenset({"memory", "pids"})),
            {"mem_limit", "memswap_limit", "pids_limit"},
        ),
        (V1, set()),
    ],
)
def test_bounds_are_asked_for_where_they_hold(facts, bounds):
    asked = set(made(facts)) & {"mem_limit", "memswap_limit", "cpu_period", "cpu_quota", "pids_limit"}

    assert asked == bounds


def test_bounds_follow_from_the_spec_and_the_settings():
    found = made(max_threads=77)

    assert found["mem_limit"] == found["memswap_limit"] == 512 * MB
    assert found["cpu_quota"] / found["cpu_period"] == 2
    assert found["pids_limit"] == 77


def test_without_a_limit_of_its_own_a_model_has_a_share_of_the_machine():
    assert made(spec=attrs.evolve(SPEC, memory_limit_bytes=0), memory_share=0.25)["mem_limit"] == 2048 * MB


@pytest.mark.parametrize("facts", [V1, V2])
def test_the_process_has_bounds_of_its_own_everywhere(facts):
    limits = {limit["Name"]: limit for limit in made(facts, max_threads=77)["ulimits"]}

    assert all(limit["Soft"] == limit["Hard"] for limit in limits.values())
    assert limits["nproc"]["Hard"] == 77
    assert limits["core"]["Hard"] == 0
    assert 512 * MB < limits["data"]["Hard"] < 2048 * MB


def test_what_is_mounted_can_be_written_by_nobody_but_where_the_socket_is_made():
    mounts = mounted(made())

    assert {target for target, mount in mounts.items() if not mount.get("read_only")} == {
        "/prism/ipc",
        "/tmp",
    }
    assert mounts["/prism/model"]["source"] == "/data/a"
    assert mounts["/tmp"]["size"] == 64 * MB


def test_a_conversion_writes_into_its_directory_and_not_onto_its_log():
    found = made(spec=attrs.evolve(SPEC, task=OPTIMIZE))

    assert mounted(found)["/prism/work"]["source"] == "/data/churn-1-0"
    assert not found["log_config"]["Config"]["path"].startswith("/data/churn-1-0/")
    assert found["umask"] == "0000"


def test_there_is_no_network_where_a_socket_is_mounted():
    found = made()

    assert found["network_mode"] == "none"
    assert "ports" not in found
    assert found["command"][-1] == "unix:/prism/ipc/s"


def test_a_port_is_one_of_the_loopback():
    found = made(address="tcp")

    assert found["ports"] == {"8000/tcp": ("127.0.0.1", 0)}
    assert found["command"][-3:] == ["tcp:0.0.0.0:8000", "--mark", "/prism/ipc/s"]


def test_variables_are_those_that_are_named():
    environ = {"PATH": "/x", "SECRET": "hush", "HF_HOME": "/models"}

    found = made(environ=environ, variables=("HF_HOME", "NOT_THERE"))["environment"]

    assert found["HF_HOME"] == "/models"
    assert found["OMP_NUM_THREADS"] == "2"
    assert {"SECRET", "PATH", "NOT_THERE"}.isdisjoint(found)


def test_the_runtime_is_told_paths_of_the_inside_alone():
    told = Layout(Path("/run/p/1"), SPEC).inside("container")

    assert b"/data" not in told.to_json()
    assert (told.token, told.threads, told.sandbox) == (SPEC.token, 2, "container")


def test_what_a_container_is_given_can_be_read_by_every_user_behind_a_door_for_one(tmp_path):
    manifest = tmp_path / "manifest.json"
    manifest.write_text("{}")
    os.umask(os.umask(0o077))
    layout = Layout(tmp_path / "base", attrs.evolve(SPEC, manifest=manifest))

    layout.make("container")

    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in (layout.base, *layout.base.rglob("*"))}
    assert modes == {
        "base": "0o700",
        "in": "0o755",
        "ipc": "0o777",
        "spec.json": "0o644",
        "manifest.json": "0o644",
    }
