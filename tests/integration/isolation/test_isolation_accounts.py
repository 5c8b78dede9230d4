"""What bubblewrap is asked for works for an account that is not root, too."""

import os
import shutil
import subprocess

import pytest

from prism_core.isolation.bubblewrap import installed, wrapped
from prism_core.isolation.view import SYSTEM

NOBODY = 65534
PYTHON = "/usr/bin/python3"
# As a replica does before it loads its model: a mount namespace, and a /proc of its processes alone.
MOUNTED = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
assert libc.unshare(0x20000) == 0, os.strerror(ctypes.get_errno())
done = libc.mount(b"proc", b"/tmp", b"proc", 0b1111, b"hidepid=ptraceable")
assert done == 0, os.strerror(ctypes.get_errno())
print(os.getuid(), open("/dev/urandom", "rb").read(1) != b"", os.listdir("/dev/fd") != [])
"""


@pytest.mark.system
@pytest.mark.parametrize("read", [(), SYSTEM], ids=["sees all", "sees little"])
def test_a_replica_of_any_account_may_mount_its_own_processes(read):
    if not (installed() and os.path.exists(PYTHON) and shutil.which("setpriv")):
        pytest.skip("needs bubblewrap, setpriv and the system's python3; apt-get install bubblewrap python3")
    root = os.geteuid() == 0
    prefix = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if root else []

    command = [*prefix, *wrapped([PYTHON, "-I", "-c", MOUNTED], read)]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True)

    assert (done.stdout, done.stderr) == (f"{NOBODY if root else os.geteuid()} True True\n", "")
