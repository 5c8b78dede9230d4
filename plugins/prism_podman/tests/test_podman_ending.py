"""Why a container ended, and how a replica is shut in, in words."""

import attrs
import pytest

from prism_core.plugin import ConfigError
from prism_podman.config import PodmanConfig
from prism_podman.ending import Exit, exit_of
from prism_podman.facts import Facts, facts_of
from prism_podman.launcher import check_address
from prism_podman.logs import parsed

ALL = frozenset({"cpu", "memory", "pids"})
FACTS = Facts("4.9.3", True, "v2", ALL, "crun", "overlay", 1, 65537)


@pytest.mark.parametrize(
    ("code", "number"),
    [(0, 0), (1, 1), (3, 3), (127, 127), (137, -9), (143, -15), (139, -11), (255, 255), (-1, -1)],
)
def test_signals_are_negative_as_for_processes(code, number):
    assert exit_of(code, told=True, oom=False) == Exit(number)


@pytest.mark.parametrize(
    ("told", "oom", "excess", "words"),
    [
        (False, True, "", "it ran out of memory, beyond the limit of 1000 bytes"),
        (True, True, "", "it ran out of memory"),
        (False, False, "", "from outside, probably for its memory"),
        (False, False, "it wrote too much", "it wrote too much"),
    ],
)
def test_a_kill_has_its_reason(told, oom, excess, words):
    assert words in exit_of(137, told=told, oom=oom, excess=excess, limit=1000).reason


def test_a_kill_of_ours_needs_none():
    assert exit_of(137, told=True, oom=False).reason == ""


def test_a_crash_is_not_for_memory():
    assert exit_of(139, told=False, oom=False).reason == ""


@pytest.mark.parametrize(
    ("changes", "level"),
    [
        ({}, "container"),
        ({"rootless": False, "cgroup": "v1", "numbers": 0}, "container"),
        ({"cgroup": "v1"}, "container, without memory, cpu and pids limits"),
        ({"controllers": frozenset({"memory", "pids"})}, "container, without cpu limits"),
        ({"numbers": 1000}, "container, without a user namespace of its own"),
        (
            {"controllers": frozenset({"pids"}), "numbers": 1000},
            "container, without memory and cpu limits and a user namespace of its own",
        ),
    ],
)
def test_what_a_container_lacks_is_said(changes, level):
    assert attrs.evolve(FACTS, **changes).level == level


TOLD = {
    "version": {"Version": "4.3.1"},
    "store": {"graphDriverName": "overlay"},
    "host": {
        "security": {"rootless": True},
        "cgroupVersion": "v1",
        "cgroupControllers": None,
        "ociRuntime": {"name": "runc"},
        "memTotal": 1024,
        "kernel": "6.1.0-18-amd64",
        "idMappings": {"uidmap": [{"container_id": 0, "host_id": 1000, "size": 1}], "gidmap": []},
    },
}


@pytest.mark.parametrize(("kernel", "remote"), [("6.1.0-18-amd64", False), ("23.5.0", True)])
def test_facts_are_read_from_what_podman_answers(kernel, remote):
    facts = facts_of(TOLD, kernel)

    assert facts == Facts("4.3.1", True, "v1", frozenset(), "runc", "overlay", 1024, 1, remote)


@pytest.mark.parametrize(("address", "remote"), [("tcp", True), ("tcp", False), ("unix", False)])
def test_replicas_are_looked_for_where_they_can_be_reached(address, remote):
    check_address(PodmanConfig(address=address), attrs.evolve(FACTS, remote=remote))


def test_a_socket_in_a_virtual_machine_is_refused_at_the_start():
    with pytest.raises(ConfigError, match="another machine") as caught:
        check_address(PodmanConfig(), attrs.evolve(FACTS, remote=True))

    assert "tcp" in caught.value.hint


@pytest.mark.parametrize(
    ("line", "whole", "text"),
    [
        ("2026-11-26T17:31:40.614040566+00:00 stdout F a line", True, "a line"),
        ("2026-11-26T17:31:40.614040566+00:00 stderr P a piece ", False, "a piece "),
        ("2026-11-26T17:31:40.614040566+00:00 stdout F ", True, ""),
        ("2026-11-26T17:31:40.614040566+00:00 stdout F", True, ""),
        ("something else", True, "something else"),
        ("", True, ""),
    ],
)
def test_a_line_of_the_log_is_what_the_replica_wrote(line, whole, text):
    assert parsed(line) == (whole, text)
