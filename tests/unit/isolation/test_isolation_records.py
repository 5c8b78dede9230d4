"""What is decided before any process exists."""

from __future__ import annotations

import sys

import pytest

from prism_core.isolation import process
from prism_core.isolation.child import find_entry
from prism_core.isolation.confine import Confines
from prism_core.isolation.limits import Bounds
from prism_core.isolation.messages import (
    Exited,
    Fork,
    Forked,
    Threaded,
    decode_report,
    decode_request,
    encode,
)
from prism_core.isolation.sandbox import Level
from prism_core.isolation.variables import replica_variables
from prism_core.plugins import load_plugins
from prism_core.threads import THREAD_VARIABLES


def test_process_is_offered_as_a_plugin():
    backends = load_plugins((), built_in=("process",)).isolation_backends

    assert backends["process"].transport == "unix"
    assert backends["process"].config is process.ProcessConfig
    assert backends["process"].available() == process.available()


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_elsewhere_than_on_linux_a_fresh_interpreter_is_started(monkeypatch, platform):
    monkeypatch.setattr(sys, "platform", platform)

    method, reason = process.start_method()

    assert method == "spawn"
    assert platform in reason


def test_threads_are_set_for_every_library():
    variables = replica_variables({"OMP_NUM_THREADS": "64", "PATH": "/bin"}, threads=3)

    assert {variables[name] for name in THREAD_VARIABLES} == {"3"}
    assert variables["PATH"] == "/bin"


def test_a_replica_does_not_report_to_a_framework_vendor():
    assert replica_variables({}, threads=1)["ORT_DISABLE_TELEMETRY"] == "1"


def test_the_gateways_settings_stay_with_it():
    assert "PRISM_TOKEN" not in replica_variables({"PRISM_TOKEN": "hush"}, threads=1)


def test_a_replica_that_is_shut_in_is_told_no_passwords():
    variables = {"DATABASE_PASSWORD": "hush", "PATH": "/bin", "LC_ALL": "C", "WANTED": "1"}

    kept = replica_variables(variables, 1, Level.LANDLOCK, more=("WANTED",))

    assert kept.keys() & variables.keys() == {"PATH", "LC_ALL", "WANTED"}
    assert replica_variables(variables, 1).items() >= variables.items()


def test_another_interpreter_is_not_told_where_the_servers_modules_are():
    variables = {name: "/server" for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH")}
    variables["PYTHONHASHSEED"] = "7"

    for level in (Level.OFF, Level.NAMESPACES):
        kept = replica_variables(variables, 1, level, other=True)
        assert kept.keys() & variables.keys() == {"LD_LIBRARY_PATH", "PYTHONHASHSEED"}
        assert replica_variables(variables, 1, level)["PYTHONPATH"] == "/server"


@pytest.mark.parametrize("message", [Forked(1, 2), Threaded(1, "numpy"), Exited(7, -9)])
def test_reports_survive_the_way(message):
    assert decode_report(encode(message)) == message


def test_requests_survive_the_way():
    confines = Confines(Level.LANDLOCK, Bounds(1, 2, 3, 4), own=("/model",), private=("/data",))
    request = Fork(1, b"{}", "a:b", ("numpy",), confines)

    assert decode_request(encode(request)) == request


def test_an_entry_is_found_by_name():
    assert find_entry("prism_core.isolation.child:find_entry") is find_entry
