"""What a replica may take, and what is looked at from outside."""

from __future__ import annotations

import errno
import os
import resource
import sys
from pathlib import Path

import attrs
import pytest

from prism_core.isolation import bubblewrap, landlock
from prism_core.isolation.config import LOG_BURST_BYTES, ProcessConfig, bounds_of, confines_of, outset_of
from prism_core.isolation.limits import HEADROOM_BYTES, MB, Bounds, data_bytes
from prism_core.isolation.sandbox import Level
from prism_core.isolation.watching import Watched, excess, look_after, threads_of
from prism_core.logfile import ForgivingStream
from prism_core.protocols import OPTIMIZE, ReplicaSpec
from prism_core.sizes import size_of

GB = 1024 * MB
BOUNDS = Bounds(data_bytes=0, threads=1000, file_bytes=MB, tmp_bytes=MB)


@pytest.fixture
def spec(tmp_path):
    directory = tmp_path / "m-1-0"
    files = (directory / "manifest.json", tmp_path / "artifact", directory)
    return ReplicaSpec("m-1-0", *files, (), (), "env", sys.executable, private=(tmp_path,))


def test_the_kill_line_bounds_what_may_be_reserved_else_a_share_of_the_machine():
    assert data_bytes(100 * MB, 12 * GB) == 200 * MB + HEADROOM_BYTES
    assert data_bytes(0, 12 * GB) == 12 * GB


def test_a_model_without_a_limit_may_not_take_the_machine(spec):
    assert bounds_of(spec, ProcessConfig(memory_share=0.25), Level.LIMITS, 8 * GB).data_bytes == 2 * GB


def test_without_a_sandbox_nothing_is_bounded_but_by_wish(spec):
    free = bounds_of(spec, ProcessConfig(), Level.OFF, 8 * GB)

    assert (free.data_bytes, free.threads) == (0, 0)
    wished = attrs.evolve(spec, memory_limit_bytes=MB)
    assert bounds_of(wished, ProcessConfig(), Level.OFF, 8 * GB).data_bytes == 2 * MB + HEADROOM_BYTES


@pytest.fixture
def other(spec, tmp_path):
    """The spec of a replica in an environment that the server made."""
    python = tmp_path / "environments" / "key" / "bin" / "python"
    python.parent.mkdir(parents=True)
    base = tmp_path.parent / f"{tmp_path.name}-base" / "bin" / "python3"
    base.parent.mkdir(parents=True)
    base.touch()
    python.symlink_to(base)
    return attrs.evolve(spec, python=str(python))


def test_an_environment_of_models_own_is_seen_by_its_replicas(spec, other, tmp_path):
    theirs, servers = (confines_of(one, ProcessConfig(), Level.LANDLOCK, 8 * GB).own for one in (other, spec))

    assert {*theirs} - {*servers} == {str(tmp_path / "environments" / "key")}


def test_an_interpreter_from_elsewhere_uncovers_nothing(other, tmp_path):
    """Nor does one that claims that the data directory itself is its environment."""
    for python in ("/usr/bin/python3", str(tmp_path / "bin" / "python")):
        spec = attrs.evolve(other, python=python)
        assert len(confines_of(spec, ProcessConfig(), Level.LANDLOCK, 8 * GB).own) == 3
        assert outset_of(spec, ProcessConfig()) == ((), ())


def test_a_warm_process_of_models_own_sees_what_its_replicas_will(other, tmp_path):
    config = ProcessConfig(readable=(Path("/srv/more"),))
    read, write = outset_of(other, config)

    assert {str(tmp_path / "environments" / "key"), f"{tmp_path}-base", "/srv/more", "/usr"} <= set(read)
    assert str(tmp_path / "environments") not in read
    assert write == ()
    assert outset_of(attrs.evolve(other, task=OPTIMIZE), config)[1] == (str(tmp_path),)


def test_bubblewrap_shows_what_it_is_told():
    shown = bubblewrap.wrapped(["/bin/sh"], ["/usr", "/lib"], ["/srv/out"])

    assert not {"/", "/dev", "/proc"} & {shown[n + 1] for n, word in enumerate(shown) if "bind" in word}
    assert shown[-11:] == [
        *("--ro-bind-try", "/usr", "/usr", "--ro-bind-try", "/lib", "/lib"),
        *("--bind", "/srv/out", "/srv/out", "--", "/bin/sh"),
    ]
    assert shown.index("--tmpfs") < shown.index("--ro-bind-try")


def test_a_replica_writes_nowhere_and_a_conversion_into_its_directory(spec):
    config = ProcessConfig(readable=(Path("/srv/words"),))
    serving = confines_of(spec, config, Level.LANDLOCK, 8 * GB)
    converting = confines_of(attrs.evolve(spec, task=OPTIMIZE), config, Level.LANDLOCK, 8 * GB)

    assert (serving.write, converting.write) == ((), (str(spec.directory),))
    assert serving.readable == ("/srv/words",)
    assert set(serving.own) == {str(spec.artifact), str(spec.manifest), str(spec.directory)}
    assert (serving.bounds.file_bytes, converting.bounds.file_bytes) == (
        LOG_BURST_BYTES,
        config.optimize_disk,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_too_many_threads_are_seen(tmp_path):
    watched = Watched(os.getpid(), tmp_path, BOUNDS)
    few = attrs.evolve(watched, bounds=Bounds(0, 0, 0, 0))

    assert threads_of(os.getpid()) >= 1
    assert excess(watched) == ""
    assert excess(few) == ""  # 0 is any number
    assert threads_of(2**30) == 0


def test_what_a_conversion_writes_is_seen(tmp_path):
    watched = Watched(0, tmp_path, BOUNDS, writes=True)
    (tmp_path / "forms").mkdir()
    (tmp_path / "forms" / "a").write_bytes(bytes(2 * MB))

    assert size_of(tmp_path) >= 2 * MB
    assert "plugins.process.optimize_disk" in excess(watched)
    assert look_after([watched])[0][0] is watched
    assert look_after([attrs.evolve(watched, writes=False)]) == []


def test_holes_in_a_file_take_no_room(tmp_path):
    with (tmp_path / "holes").open("wb") as file:
        file.truncate(100 * MB)

    assert size_of(tmp_path) < MB


@pytest.fixture
def small_files():
    """No file may grow beyond 1000 bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_is_printed_into_a_full_log_is_lost_and_no_error(tmp_path, small_files):
    descriptor = os.open(tmp_path / "log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    with ForgivingStream.text(descriptor) as stream:
        for _ in range(100):
            print("a line of thirty characters or", file=stream)
    with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
        os.write(descriptor, b"x")
    os.close(descriptor)

    assert (tmp_path / "log").stat().st_size <= 1000
    assert (tmp_path / "log").read_text().startswith("a line of thirty characters or\n")


def test_another_error_of_a_log_is_told():
    read_only = os.open("/dev/null", os.O_RDONLY)
    with (
        ForgivingStream(read_only, "w", closefd=False) as stream,
        pytest.raises(OSError, match=os.strerror(errno.EBADF)),
    ):
        stream.write(b"x")
    os.close(read_only)


@pytest.mark.parametrize(("told", "code"), [(0, 0), (3, 3), (255, 255), (137, -9), (139, -11)])
def test_an_exit_code_comes_through_bubblewrap(told, code):
    assert bubblewrap.exit_code_of(told) == code


def test_a_program_that_does_not_exist_is_no_matter_for_bubblewrap():
    with pytest.raises(FileNotFoundError, match="/nowhere/python"):
        bubblewrap.wrapped(["/nowhere/python"])


@pytest.mark.parametrize(("known", "size"), [(1, 8), (3, 8), (4, 16), (5, 16), (6, 24), (9, 24)])
def test_a_kernel_is_asked_for_what_it_knows(known, size):
    assert len(landlock.ruleset(known)) == size
    assert landlock.handled(known).bit_count() == {1: 13, 3: 15, 4: 15}.get(known, 16)


def test_who_may_write_may_not_execute_or_make_devices():
    devices = landlock.MAKE_CHAR | landlock.MAKE_BLOCK | landlock.MAKE_SOCK

    assert not landlock.WRITE & (landlock.EXECUTE | devices)
    assert not landlock.READ & landlock.WRITE_FILE
