"""Toy runtimes and modules for the isolation tests: small, honest, sometimes ill-behaved."""

import json
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np

from prism_core import wire

# Drawn at import, so in the zygote: a replica must not share what comes after it.
np.random.random()


rehearsals = []


def rehearse(spec):
    """Behave as the only plugin of the replica says."""
    rehearsals.append(spec.plugins)
    if spec.plugins == ("threaded",):
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
    if spec.plugins == ("broken",):
        raise RuntimeError("no rehearsal")


def facts(spec):
    """Return what a test may want to know of the process."""
    return {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "session": os.getsid(0),
        "group": os.getpgrp(),
        "cwd": os.getcwd(),
        "descriptors": sorted(int(name) for name in os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
        "tasks": len(os.listdir("/proc/self/task")),
        "variables": dict(os.environ),
        "random": [random.random(), float(np.random.random())],
        "modules": [name for name in sys.modules if name.startswith("toy_")],
        "spec": spec.replica,
        "rehearsals": rehearsals,
        "sandbox": spec.sandbox,
        "prefix": sys.prefix,
        "spied": spied(),
        "status": dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines()),
    }


def spied():
    """Return what `toy_spy` reached as the interpreter began, and what it reaches now."""
    spy = sys.modules.get("toy_spy")
    return spy and [sorted(spy.REACHED), spy.look_around()]


def greet(spec, listener, then=lambda: None):
    """Answer every HELLO with READY, whose warnings hold the facts."""
    print("toy is up")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            ready = wire.Ready(os.getpid(), {}, [json.dumps(facts(spec))])
            connection.sendall(wire.encode(ready))
        then()


def run(spec, listener):
    """Behave as the first word of the replica's name says."""
    return BEHAVIOURS.get(spec.replica.partition("-")[0], try_to_greet)(spec, listener)


def try_to_greet(spec, listener):
    """Greet, unless the artifact is missing."""
    if not spec.artifact.exists():
        print("the artifact is missing")
        return 3
    return greet(spec, listener)


def stubborn(spec, listener):
    """Ignore SIGTERM, and leave a grandchild in the group."""
    grandchild = os.fork()
    if grandchild == 0:
        time.sleep(600)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    connection, _ = listener.accept()
    connection.recv(65536)
    connection.sendall(wire.encode(wire.Ready(os.getpid(), {}, [str(grandchild)])))
    time.sleep(600)


def busy(spec, listener):
    """Compute for ever, holding the interpreter lock, as soon as somebody greets."""
    return greet(spec, listener, then=lambda: sum(range(10**12)))


def hungry(spec, listener):
    """Allocate 4 GB at once."""
    try:
        np.ones(4 << 30, np.uint8)
    except MemoryError:
        print("MemoryError")
        return 7
    return 0


def leave(spec, listener):
    """End at once with the code that the replica's name ends with."""
    return int(spec.replica.rpartition("-")[2])


def raise_error(spec, listener):
    """Fail with a trace."""
    raise RuntimeError("the toy is broken")


def crash(spec, listener):
    """Die of a signal."""
    os.kill(os.getpid(), signal.SIGSEGV)


BEHAVIOURS = {
    "stubborn": stubborn,
    "busy": busy,
    "hungry": hungry,
    "leave": leave,
    "broken": raise_error,
    "crash": crash,
}
