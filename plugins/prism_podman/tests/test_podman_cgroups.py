"""What a container's control group tells, under both versions."""

import pytest

from prism_podman.cgroups import Group, group_of

ID = "ab12" * 16
V1 = f"8:memory:/libpod_parent/libpod-{ID}\n3:cpu,cpuacct:/libpod_parent/libpod-{ID}\n0::/x\n"
V2 = f"0::/user.slice/user-1000.slice/libpod-{ID}.scope/container\n"
SHARED = "8:memory:/\n3:cpu,cpuacct:/\n0::/\n"


@pytest.fixture
def group(tmp_path):
    """Return the group of process 7, whose file is given, below a root in which files may be written."""

    def find(text):
        (tmp_path / "7").mkdir(exist_ok=True)
        (tmp_path / "7/cgroup").write_text(text)
        return group_of(7, ID, tmp_path / "root", tmp_path)

    return find


def put(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_version_1_is_read(group):
    found = group(V1)
    put(found.memory / "memory.usage_in_bytes", "5000\n")
    put(found.memory / "memory.stat", "cache 900\ntotal_inactive_file 1000\n")
    put(found.memory / "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n")
    put(found.cpu / "cpuacct.usage", "2500000000\n")

    assert (found.usage().memory_bytes, found.usage().cpu_s) == (4000, 2.5)
    assert found.killed()


def test_version_2_is_read(group):
    found = group(V2)
    put(found.memory / "memory.current", "5000\n")
    put(found.memory / "memory.stat", "anon 900\ninactive_file 6000\n")
    put(found.memory / "memory.events", "low 0\nhigh 0\nmax 3\noom 1\noom_kill 0\n")
    put(found.cpu / "cpu.stat", "usage_usec 1500000\nuser_usec 1\n")

    assert (found.usage().memory_bytes, found.usage().cpu_s) == (0, 1.5)
    assert not found.killed()


@pytest.mark.parametrize("text", [SHARED, "", V1.replace("8:memory", "8:pids")])
def test_a_group_that_is_not_its_own_tells_nothing_of_it(group, text):
    assert group(text) is None


def test_a_process_that_is_gone_has_none(tmp_path):
    assert group_of(8, ID, tmp_path, tmp_path) is None


def test_a_group_that_is_gone_was_not_killed(tmp_path):
    assert not Group(tmp_path / "gone", tmp_path / "gone", 1).killed()
