"""What a replica may not ask of the kernel, as a filter that the kernel runs before each system call.

A replica has its listening socket and accepts; it needs no other socket, no process and no
right over one. Threads, files and memory stay. The rules are values; `program` makes of
them what the kernel takes, and `install` is the only function that does something.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
from collections.abc import Iterator

import attrs

from prism_core.isolation import kernel
from prism_core.isolation.syscalls import ARCHITECTURES, LAST_KNOWN, Architecture, this_machine

# Refused whatever the arguments are.
_DENIED = {
    "sockets": "socket connect bind",
    "processes": "fork vfork execve execveat",
    "others' memory": "ptrace process_vm_readv process_vm_writev process_madvise kcmp move_pages "
    "migrate_pages",
    "others' life": "tkill pidfd_open pidfd_getfd pidfd_send_signal process_mrelease",
    "namespaces": "unshare setns chroot pivot_root",
    "mounts": "mount umount2 open_tree move_mount fsopen fsconfig fsmount fspick mount_setattr statmount "
    "listmount name_to_handle_at open_by_handle_at",
    "the machine": "reboot init_module finit_module delete_module kexec_load kexec_file_load swapon swapoff "
    "acct quotactl quotactl_fd settimeofday clock_settime clock_adjtime adjtimex sethostname setdomainname "
    "syslog vhangup iopl ioperm",
    "wide doors into the kernel": "bpf perf_event_open userfaultfd io_uring_setup io_uring_enter "
    "io_uring_register keyctl add_key request_key fanotify_init lookup_dcookie personality modify_ldt "
    "remap_file_pages",
    # RLIMIT_DATA does not count it.
    "memory without a limit": "memfd_create memfd_secret shmget shmat shmctl msgget semget mq_open",
}
DENIED = tuple(name for names in _DENIED.values() for name in names.split())

_CLONE_THREAD = 0x10000
_MAP_SHARED_ANONYMOUS = 0x21
_MAP_GROWSDOWN = 0x100
_AF_UNIX, _SOCK_STREAM, _SOCK_TYPE = 1, 1, 0xF
_F_SETFL, _F_SETOWN, _F_SETSIG, _F_SETOWN_EX = 4, 8, 10, 15
_FIOASYNC, _FIOSETOWN, _SIOCSPGRP, _TIOCSTI, _TIOCLINUX = 0x5452, 0x8901, 0x8902, 0x5412, 0x541C
_PRIO_PROCESS, _IOPRIO_WHO_PROCESS = 0, 1
_ALL = 0xFFFFFFFF


@attrs.frozen
class Rule:
    """A judgement by one argument of one call.

    ``values`` are those that ``argument & mask`` must have, or must not have where ``only``
    is false. What is refused fails with ``error``; 0 pretends that it was done.
    """

    call: str
    argument: int
    values: tuple[int, ...]
    only: bool = True
    mask: int = _ALL
    error: int = errno.EPERM


def rules(pid: int, life: int) -> tuple[Rule, ...]:
    """Return the judgements by argument for the process ``pid``, whose life line is descriptor ``life``."""
    own = (0, pid)
    return (
        # A thread, not a process. glibc falls back to this call when clone3 does not exist.
        Rule("clone", 0, (_CLONE_THREAD,), mask=_CLONE_THREAD),
        Rule("clone3", 0, (), error=errno.ENOSYS),
        # Event loops wake themselves up with a pair; one of datagrams could write to any path.
        Rule("socketpair", 0, (_AF_UNIX,)),
        Rule("socketpair", 1, (_SOCK_STREAM,), mask=_SOCK_TYPE),
        *(Rule(call, 0, (pid,)) for call in ("kill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo")),
        # The kernel sends signals in the name of whoever asks it to; the life line is one that it must send,
        # and no descriptor of it may be told to be quiet (event loops use FIONBIO, not F_SETFL).
        Rule("fcntl", 1, (_F_SETFL, _F_SETOWN, _F_SETOWN_EX, _F_SETSIG), only=False),
        Rule("ioctl", 1, (_FIOASYNC, _FIOSETOWN, _SIOCSPGRP, _TIOCSTI, _TIOCLINUX), only=False),
        # Limits and priorities of other processes of the same user.
        *(
            Rule(call, 0, own)
            for call in ("prlimit64", "sched_setscheduler", "sched_setparam", "sched_setattr")
        ),
        Rule("setpriority", 0, (_PRIO_PROCESS,)),
        Rule("setpriority", 1, own),
        Rule("ioprio_set", 0, (_IOPRIO_WHO_PROCESS,)),
        Rule("ioprio_set", 1, own),
        # A hint, which libraries give to each of their threads and complain about when it fails.
        Rule("sched_setaffinity", 0, own, error=0),
        # Neither is counted by RLIMIT_DATA.
        Rule("mmap", 3, (_MAP_SHARED_ANONYMOUS,), only=False, mask=_MAP_SHARED_ANONYMOUS, error=errno.ENOMEM),
        Rule("mmap", 3, (_MAP_GROWSDOWN,), only=False, mask=_MAP_GROWSDOWN, error=errno.ENOMEM),
        # Whoever closes its life line would outlive the gateway.
        Rule("close", 0, (life,), only=False),
        *(Rule(call, 1, (life,), only=False) for call in ("dup2", "dup3")),
        Rule("close_range", 0, ()),
    )


# --- the kernel's form ------------------------------------------------------------------

_LOAD, _AND, _EQUAL, _AT_LEAST, _JUMP, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x05, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_KILL_PROCESS, _ERROR, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_INSTRUCTION_BYTES = 8
_SET_MODE_FILTER, _ALL_THREADS = 1, 1

Instruction = tuple[int, int, int, int]


def program(machine: Architecture, judged: tuple[Rule, ...]) -> bytes:
    """Return the filter as the kernel takes it."""
    return b"".join(struct.pack("HBBI", *one) for one in _instructions(machine, judged))


def _instructions(machine: Architecture, judged: tuple[Rule, ...]) -> Iterator[Instruction]:
    yield _LOAD, 0, 0, _ARCHITECTURE
    yield _EQUAL, 1, 0, machine.audit
    yield _RETURN, 0, 0, _KILL_PROCESS  # 32-bit calls have other numbers
    yield _LOAD, 0, 0, _NUMBER
    if machine.other:
        yield _AT_LEAST, 0, 1, machine.other
        yield _RETURN, 0, 0, _KILL_PROCESS
    yield _AT_LEAST, 0, 1, LAST_KNOWN + 1
    yield _RETURN, 0, 0, _ERROR | errno.ENOSYS
    for name in DENIED:
        if name in machine.numbers:
            yield _EQUAL, 0, 1, machine.numbers[name]
            yield _RETURN, 0, 0, _ERROR | errno.EPERM
    for rule in judged:
        if rule.call in machine.numbers:
            block = _judge(rule)
            yield _EQUAL, 0, len(block), machine.numbers[rule.call]
            yield from block
    yield _RETURN, 0, 0, _ALLOW


def _judge(rule: Rule) -> list[Instruction]:
    """Compare the argument with each value; leave with the number loaded again, or return an error."""
    refuse: list[Instruction] = [(_RETURN, 0, 0, _ERROR | rule.error)]
    # A match jumps over what is left of the comparisons, and over one more: the refusal, or the jump past it.
    left = range(len(rule.values) - 1, -1, -1)
    compared = [(_EQUAL, more + 1, 0, value) for more, value in zip(left, rule.values, strict=True)]
    end = refuse if rule.only else [(_JUMP, 0, 0, 1), *refuse]
    return [
        (_LOAD, 0, 0, _FIRST_ARGUMENT + 8 * rule.argument),
        (_AND, 0, 0, rule.mask),
        *compared,
        *end,
        (_LOAD, 0, 0, _NUMBER),
    ]


def problem() -> str:
    """Return "" or why there is no filter for this machine."""
    machine = platform.machine()
    return "" if machine in ARCHITECTURES else f"the filter of system calls is not made for {machine}"


def install(pid: int, life: int) -> None:
    """Put the filter on this process, for good; ``no_new_privs`` must be set."""
    machine = this_machine()
    code = ctypes.create_string_buffer(program(machine, rules(pid, life)))
    described = struct.pack("HxxxxxxQ", len(code) // _INSTRUCTION_BYTES, ctypes.addressof(code))
    kernel.call(machine.numbers["seccomp"], _SET_MODE_FILTER, _ALL_THREADS, described)
