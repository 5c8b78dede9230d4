"""The filter, run as the kernel would run it."""

import errno
import os
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.isolation.seccomp import DENIED, program, rules
from prism_core.isolation.syscalls import ARCHITECTURES, LAST_KNOWN

PID, LIFE = 4711, 9
ALLOWED, KILLED = "allowed", "killed"
FILTERS = {name: program(machine, rules(PID, LIFE)) for name, machine in ARCHITECTURES.items()}


def judge(machine, number, *arguments, audit=None):
    """Return what the filter says of a call: ALLOWED, KILLED or an error number."""
    words = [argument & (2**64 - 1) for argument in (*arguments, 0, 0, 0, 0, 0, 0)[:6]]
    data = struct.pack("<IIQ6Q", number, audit or ARCHITECTURES[machine].audit, 0, *words)
    code, at, value = FILTERS[machine], 0, 0
    while True:
        operation, yes, no, k = struct.unpack_from("HBBI", code, at * 8)
        at += 1
        if operation == 0x20:
            (value,) = struct.unpack_from("<I", data, k)
        elif operation == 0x54:
            value &= k
        elif operation == 0x15:
            at += yes if value == k else no
        elif operation == 0x35:
            at += yes if value >= k else no
        elif operation == 0x05:
            at += k
        else:
            assert operation == 0x06
            return {0x7FFF0000: ALLOWED, 0x80000000: KILLED}.get(k, k & 0xFFFF)


@pytest.fixture(params=ARCHITECTURES)
def ask(request):
    """Ask a machine's filter by the name of a call."""
    numbers = ARCHITECTURES[request.param].numbers
    return lambda name, *arguments: judge(request.param, numbers[name], *arguments)


@pytest.mark.parametrize("name", DENIED)
def test_what_is_denied_is_refused_with_any_arguments(name):
    for machine, architecture in ARCHITECTURES.items():
        if name in architecture.numbers:
            assert judge(machine, architecture.numbers[name], 1, 2, 3) == errno.EPERM


def test_every_denied_call_exists_somewhere():
    assert set(DENIED) <= set(ARCHITECTURES["x86_64"].numbers)


@pytest.mark.parametrize(
    ("call", "verdict"),
    [
        (("clone", 0x3D0F00), ALLOWED),  # what pthread_create asks for
        (("clone", 17), errno.EPERM),  # a fork
        (("clone3", 0), errno.ENOSYS),
        (("socketpair", 1, 1 | 0x80800), ALLOWED),
        (("socketpair", 1, 2), errno.EPERM),
        (("socketpair", 2, 1), errno.EPERM),
        (("kill", PID), ALLOWED),
        (("kill", 0), errno.EPERM),
        (("kill", -1), errno.EPERM),
        (("kill", 1), errno.EPERM),
        (("tgkill", PID, 5), ALLOWED),
        (("tgkill", 5, 5), errno.EPERM),
        (("fcntl", 3, 4), errno.EPERM),  # F_SETFL
        (("fcntl", 3, 8), errno.EPERM),  # F_SETOWN
        (("fcntl", 3, 3), ALLOWED),  # F_GETFL
        (("ioctl", 3, 0x5421), ALLOWED),  # FIONBIO
        (("ioctl", 3, 0x5452), errno.EPERM),  # FIOASYNC
        (("prlimit64", 0), ALLOWED),
        (("prlimit64", PID), ALLOWED),
        (("prlimit64", 1), errno.EPERM),
        (("setpriority", 0, 0), ALLOWED),
        (("setpriority", 0, 1), errno.EPERM),
        (("setpriority", 2, 0), errno.EPERM),
        (("sched_setaffinity", 0), ALLOWED),
        (("sched_setaffinity", 77), 0),  # pretended
        (("mmap", 0, 1, 3, 0x22), ALLOWED),  # private
        (("mmap", 0, 1, 3, 0x01), ALLOWED),  # shared, of a file
        (("mmap", 0, 1, 3, 0x21), errno.ENOMEM),
        (("mmap", 0, 1, 3, 0x122), errno.ENOMEM),  # MAP_GROWSDOWN
        (("close", 3), ALLOWED),
        (("close", LIFE), errno.EPERM),
        (("dup3", 3, LIFE), errno.EPERM),
        (("close_range", 3, 2**32 - 1), errno.EPERM),
    ],
    ids=str,
)
def test_calls_are_judged_by_their_arguments(ask, call, verdict):
    assert ask(*call) == verdict


def test_other_ways_to_call_the_kernel_are_the_end():
    assert judge("x86_64", 41, audit=0x40000003) == KILLED  # i386
    assert judge("x86_64", 0x40000000 | 41) == KILLED  # x32


@given(st.sampled_from(list(ARCHITECTURES)), st.integers(LAST_KNOWN + 1, 0x3FFFFFFF))
def test_newer_calls_do_not_exist(machine, number):
    assert judge(machine, number) == errno.ENOSYS


@given(
    st.sampled_from(list(ARCHITECTURES)),
    st.integers(0, LAST_KNOWN),
    st.lists(st.integers(0, 2**64 - 1), min_size=6, max_size=6),
)
def test_what_is_not_named_is_allowed(machine, number, arguments):
    named = {name for name in DENIED} | {rule.call for rule in rules(PID, LIFE)}
    numbers = {one for name, one in ARCHITECTURES[machine].numbers.items() if name in named}

    assert number in numbers or judge(machine, number, *arguments) == ALLOWED


@pytest.mark.skipif(os.uname().machine not in ARCHITECTURES, reason="no table for this machine")
def test_the_filter_is_small_enough_for_the_kernel():
    assert all(len(code) // 8 < 4096 for code in FILTERS.values())
