"""What the doctor says, by table."""

import attrs
import pytest

from prism_podman.config import PodmanConfig
from prism_podman.diagnosis import MISSING, OK, PROBLEM, findings
from prism_podman.facts import Facts

ALL = frozenset({"cpu", "memory", "pids"})
GOOD = Facts("4.9.3", True, "v2", ALL, "crun", "overlay", 1, 65537)


def looked(facts=GOOD, programs=("slirp4netns",), **config):
    found = findings(facts, lambda name: name if name in programs else "", PodmanConfig(**config))
    return {one.name: one for one in found}


def test_a_usual_laptop_has_all():
    assert {one.state for one in looked().values()} == {OK}


@pytest.mark.parametrize(
    ("changes", "name", "state", "words"),
    [
        ({"version": "3.4.4"}, "version", MISSING, "Podman 4"),
        ({"version": "5.8.0-dev"}, "version", OK, ""),
        ({"rootless": False, "numbers": 0}, "rootless", PROBLEM, "plain user"),
        ({"rootless": False, "numbers": 0}, "users", OK, ""),
        ({"numbers": 1}, "users", PROBLEM, "usermod --add-subuids"),
        ({"cgroup": "v1"}, "limits", PROBLEM, "unified_cgroup_hierarchy"),
        ({"cgroup": "v1", "rootless": False}, "limits", OK, ""),
        ({"controllers": frozenset({"memory", "pids"})}, "limits", PROBLEM, "Delegate=yes"),
        ({"driver": "vfs"}, "storage", PROBLEM, "overlay"),
        ({"driver": "btrfs"}, "storage", OK, ""),
        ({"remote": True}, "address", MISSING, "tcp"),
    ],
)
def test_what_is_worse_is_told_with_the_way_out(changes, name, state, words):
    found = looked(attrs.evolve(GOOD, **changes))[name]

    assert found.state == state
    assert words in found.hint


@pytest.mark.parametrize(
    ("changes", "programs", "state"),
    [
        ({}, ("slirp4netns",), PROBLEM),
        ({}, ("pasta",), PROBLEM),
        ({}, (), MISSING),
        ({"remote": True}, (), PROBLEM),
        ({"rootless": False}, (), PROBLEM),
    ],
)
def test_a_port_is_a_wall_less(changes, programs, state):
    found = looked(attrs.evolve(GOOD, **changes), programs, address="tcp")["address"]

    assert found.state == state
    assert "connections to the network" in found.detail
