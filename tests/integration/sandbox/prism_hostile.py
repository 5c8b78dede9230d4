"""A plugin of tests: a model that attacks what is around it, and tells whether it succeeded."""

import contextlib
import ctypes
import fcntl
import json
import mmap
import os
import platform
import resource
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from prism_core.plugin import BaseModel, Batch, Loader, Signature, TensorSpec, hookimpl

if "HOSTILE_NO_SANDBOX" in os.environ:  # play a machine on which none works
    from prism_core.isolation import process, sandbox

    process.abilities = lambda: sandbox.Abilities("not in this test", "not in this test")

ATTACKS = {}
NO_ATTACK = 7  # the answer when nothing was to be attacked
GB = 1 << 30


def attack(function):
    """Note an attack by its name; it returns whether it succeeded, or raises."""
    ATTACKS[function.__name__] = function
    return function


# --- files ------------------------------------------------------------------------------


@attack
def read_a_secret_in_the_home_directory(facts):
    return Path(facts["home"], ".ssh", "id").read_text()


@attack
def list_the_home_directory(facts):
    return os.listdir(facts["home"])


@attack
def read_the_registry(facts):
    return Path(facts["data"], "prism.db").read_bytes()


@attack
def read_the_admin_token(facts):
    return Path(facts["data"], "admin-token").read_text()


@attack
def read_another_model(facts):
    return Path(facts["other"]).read_bytes()


@attack
def read_the_accounts_of_the_machine(facts):
    return Path("/etc/passwd").read_text()


@attack
def read_a_password_in_the_environment(facts):
    return os.environ["DATABASE_PASSWORD"]


@attack
def change_its_own_artifact(facts):
    return Path(facts["artifact"]).open("ab")


@attack
def change_the_environment(facts):
    return changed(Path(sys.prefix)) or changed(Path(np.__file__).parent)


@attack
def write_into_its_directory(facts):
    return changed(Path())


@attack
def fill_the_disk(facts):
    """Write 160 MB in files of 16 MB, wherever that is possible."""
    places = {
        Path(),
        Path("/tmp"),
        Path("/var/tmp"),
        Path("/dev/shm"),
        Path(facts["home"]),
        Path(facts["data"]),
    }
    return any(filled(place, 10) for place in places)


@attack
def write_one_large_file(facts):
    """Through its log as well, which it has open."""
    with contextlib.suppress(OSError):
        os.posix_fallocate(1, 0, GB)
        os.ftruncate(1, 0)
        return True
    with tempfile.TemporaryFile() as file:
        os.posix_fallocate(file.fileno(), 0, GB)
    return True


def changed(directory):
    path = directory / "was here"
    path.touch()
    path.unlink()
    return True


def filled(place, count):
    written = []
    try:
        for _ in range(count):
            descriptor, path = tempfile.mkstemp(dir=place)
            written.append(path)
            with os.fdopen(descriptor, "wb") as file:
                file.write(bytes(16 << 20))
    except OSError:
        return False
    finally:
        for path in written:
            os.unlink(path)
    return True


# --- the network ------------------------------------------------------------------------


@attack
def connect_to_the_admin_port(facts):
    return socket.create_connection(("127.0.0.1", facts["admin_port"]), 2)


@attack
def listen_on_a_port(facts):
    return socket.create_server(("127.0.0.1", 0))


@attack
def send_a_datagram(facts):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        return udp.sendto(b"out", ("127.0.0.1", facts["admin_port"]))


@attack
def connect_to_a_socket_by_its_path(facts):
    """Where Podman, Docker and the system bus listen, whoever may connect is the user."""
    with socket.socket(socket.AF_UNIX) as unix:
        unix.connect(facts["unix"])
    return True


@attack
def connect_to_an_abstract_socket(facts):
    with socket.socket(socket.AF_UNIX) as unix:
        unix.connect(f"\0{facts['abstract']}")
    return True


@attack
def send_to_a_path_from_a_pair(facts):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        return ours.sendto(b"out", facts["datagrams"])


# --- processes --------------------------------------------------------------------------


@attack
def list_processes(facts):
    return [name for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]


@attack
def read_the_gateways_environment(facts):
    return b"DATABASE_PASSWORD" in Path(f"/proc/{facts['gateway']}/environ").read_bytes()


@attack
def fork(facts):
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    return os.waitpid(pid, 0)


@attack
def run_a_program(facts):
    return subprocess.run(["/bin/sh", "-c", "exit 7"], check=False).returncode == 7


@attack
def signal_the_gateway(facts):
    return signalled(facts["gateway"])


@attack
def signal_its_zygote(facts):
    return signalled(os.getppid())


@attack
def signal_another_replica(facts):
    return any(signalled(pid) for pid in (facts["replica"], os.getpid() - 1))


@attack
def have_the_kernel_signal_its_zygote(facts):
    read_end, _ = os.pipe()
    return fcntl.fcntl(read_end, fcntl.F_SETOWN, os.getppid()) == 0


@attack
def limit_the_files_of_the_gateway(facts):
    for pid in (facts["gateway"], os.getppid()):
        with contextlib.suppress(OSError):
            limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            return resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    return False


@attack
def read_the_memory_of_its_zygote(facts):
    """At an address that both have, as one was forked from the other."""
    secret, copy = ctypes.create_string_buffer(64), ctypes.create_string_buffer(64)
    here = (ctypes.c_void_p * 2)(ctypes.addressof(copy), 64)
    there = (ctypes.c_void_p * 2)(id(ATTACKS), 64)
    number = {"x86_64": 310, "aarch64": 270}[platform.machine()]
    assert secret.raw == copy.raw
    return system_call(number, os.getppid(), here, 1, there, 1, 0) == 64


@attack
def trace_its_zygote(facts):
    """Attach as a debugger, and at once let go."""
    number = {"x86_64": 101, "aarch64": 117}[platform.machine()]
    attach, detach = 16, 17
    system_call(number, attach, os.getppid(), 0, 0)
    os.waitpid(os.getppid(), 0x40000000)  # __WALL
    system_call(number, detach, os.getppid(), 0, 0)
    return True


@attack
def cut_its_life_line(facts):
    """Do to the pipe that ties it to the gateway what would leave it as it is."""
    lines = [number for number in range(3, 32) if is_life_line(number)]
    for number in lines:
        with contextlib.suppress(OSError):
            fcntl.fcntl(number, fcntl.F_SETFL, fcntl.fcntl(number, fcntl.F_GETFL))
            return True
        with contextlib.suppress(OSError):
            os.dup2(number, number)
            return True
    assert lines
    return False


@attack
def make_a_ring_of_io_uring(facts):
    return os.close(system_call(425, 1, ctypes.create_string_buffer(120))) is None


@attack
def start_many_threads(facts):
    """Four times as many as it may have; where they are not refused, until they are seen."""
    threading.stack_size(64 << 10)
    enough = threading.Event()
    try:
        for _ in range(256):
            threading.Thread(target=enough.wait, daemon=True).start()
        time.sleep(facts["hold_s"])
    finally:
        enough.set()
    return True


def signalled(pid):
    """Tell whether a signal would arrive, without sending one."""
    with contextlib.suppress(OSError):
        os.kill(pid, 0)
        return True
    return False


def is_life_line(descriptor):
    """Tell whether it is a pipe that sends a signal when something happens at its other end."""
    with contextlib.suppress(OSError):
        return bool(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ASYNC)
    return False


def system_call(number, *arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    result = libc.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


# --- memory -----------------------------------------------------------------------------


@attack
def allocate_without_end(facts):
    """As far as 64 GB; nothing of it is touched, so that it does no harm where it succeeds."""
    return len([np.empty(GB, np.uint8) for _ in range(64)])


@attack
def share_memory_without_end(facts):
    return len([mmap.mmap(-1, GB) for _ in range(64)])


@attack
def keep_memory_in_files(facts):
    return os.memfd_create("more")


# --- the model --------------------------------------------------------------------------


class Hostile(BaseModel):
    """Makes the attack with the number that it is given; answers 1 if it succeeded, else 0."""

    signature = Signature((TensorSpec("attack", "INT64", (-1,)),), (TensorSpec("done", "INT64", (-1,)),))

    def __init__(self, artifact: Path) -> None:
        self.facts = json.loads(artifact.read_text()) | {"artifact": str(artifact)}

    def predict(self, inputs: Batch) -> Batch:
        done = [attacked(int(number), self.facts) for number in inputs["attack"]]
        return Batch({"done": np.array(done, np.int64)})

    def example(self) -> Batch:
        return Batch({"attack": np.array([-1])})


def attacked(number, facts):
    if number < 0:
        return NO_ATTACK
    name = list(ATTACKS)[number]
    try:
        done = bool(ATTACKS[name](facts))
    except (OSError, RuntimeError, MemoryError, KeyError) as error:
        print(f"{name}: {type(error).__name__}: {error}")
        done = False
    print(f"{name}: {'done' if done else 'refused'}")
    return int(done)


@hookimpl
def prism_loaders():
    yield Loader(
        "hostile",
        (".hostile",),
        lambda artifact: float(artifact.suffix == ".hostile"),
        lambda artifact, options: Hostile(artifact.path),
        deterministic=False,
        row_independent=False,
    )
