"""Tie a process to the gateway's life, also after ``kill -9``.

The gateway keeps the write end of a pipe, the process gets the read end and nobody ever
writes. When the gateway is gone, however it went, the kernel closes the write end.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import threading


def tie_to_life(read_end: int) -> None:
    """End this process as soon as the other end of the pipe is closed.

    To be called by the leader of a process group: on Linux the whole group ends.
    """
    if hasattr(fcntl, "F_SETSIG"):
        _have_the_kernel_kill(read_end)
    else:
        threading.Thread(target=_exit_at_eof, args=(read_end,), name="life", daemon=True).start()


def _have_the_kernel_kill(read_end: int) -> None:
    # "Readable" arrives as SIGKILL: no thread, no handler, no interpreter lock, so it works
    # while a model computes, costs nothing when idle, and a model cannot block it.
    fcntl.fcntl(read_end, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(read_end, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(read_end, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
    poll = select.poll()
    poll.register(read_end, select.POLLIN)
    if poll.poll(0):  # it was closed before the signal was armed
        os.killpg(0, signal.SIGKILL)


def _exit_at_eof(read_end: int) -> None:
    os.read(read_end, 1)
    os._exit(1)
