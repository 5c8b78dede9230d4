"""Run a program in a process group of its own, and end all of it when whoever started us is gone.

A script for a bare interpreter: ``guard.py GRACE_S DIRECTORY PROGRAM ARGUMENT...``. Its standard input is
a pipe that nobody writes to; it ends when the server closes it, or is killed with it. DIRECTORY is
removed at the end, "" is none.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import threading

PR_SET_PDEATHSIG = 1


def main() -> int:
    """Return the program's exit code, 128 and more for a signal."""
    grace_s, directory, *command = sys.argv[1:]
    # What ends the group is told to the program, not to us: we see to it that all of it ends.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # not SIG_IGN, which the program would inherit
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=_tied
        )
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", flush=True)
        return 127
    threading.Thread(target=_end_with_input, args=(process.pid, float(grace_s)), daemon=True).start()
    if hasattr(os, "waitid"):  # macOS has it since Python 3.13
        # Without reaping it: as long as it is not, no other group has its number.
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    else:
        process.wait()
    _signal(process.pid, signal.SIGKILL)
    code = process.wait()
    if directory:
        shutil.rmtree(directory, ignore_errors=True)
    return 128 - code if code < 0 else code


def _tied() -> None:
    """Let the program die with us, should we be killed (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _end_with_input(group: int, grace_s: float) -> None:
    while os.read(0, 1024):
        pass
    _signal(group, signal.SIGTERM)
    threading.Event().wait(grace_s)
    _signal(group, signal.SIGKILL)


def _signal(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        pass  # all of it has ended; macOS says so with the second one


if __name__ == "__main__":
    sys.exit(main())
