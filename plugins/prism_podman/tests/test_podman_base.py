"""A base of this machine's Python: which libraries it needs, which files it gets, and what fits on it."""

import io
import json
import sys
import tarfile
from pathlib import Path

import pytest

from prism_core.plugin import EnvironmentFailed
from prism_podman.host import debian, rootfs
from prism_podman.host.interpreter import ask, check_usable, interpreter_of, minor_of
from prism_podman.host.libraries import needed, parse_ldconfig, parse_ldd, placed
from prism_podman.images.bases import Base, check_libc, needed_libc
from prism_podman.images.oci import Beneath, Blob, archive, configuration
from prism_podman.images.reowning import reowned
from prism_podman.images.selection import Package

LDD = """\
/usr/bin/python3:
\tlinux-vdso.so.1 (0x00007ffc8a5f2000)
\tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f0b8a000000)
\tlibpython3.11.so.1.0 => /home/a b/lib/libpython3.11.so.1.0 (0x00007f0b89a00000)
\tlibgone.so.1 => not found
\t/lib64/ld-linux-x86-64.so.2 (0x00007f0b8a1f2000)
/usr/lib/x.so:
\tstatically linked
"""
LDCONFIG = """\
5 libs found in cache `/etc/ld.so.cache'
\tlibz.so.1 (libc6) => /lib32/libz.so.1
\tlibc.so.6 (libc6,x86-64, OS ABI: Linux 3.2.0) => /lib/x86_64-linux-gnu/libc.so.6
\tlibc.so.6 (libc6, OS ABI: Linux 3.2.0) => /lib32/libc.so.6
\tlibz.so.1 (libc6,x86-64) => /lib/x86_64-linux-gnu/libz.so.1
\tlibz.so.1 (libc6,x86-64) => /opt/other/libz.so.1
"""


def test_what_a_program_is_linked_with():
    assert parse_ldd(LDD) == {
        "libm.so.6": Path("/lib/x86_64-linux-gnu/libm.so.6"),
        "libpython3.11.so.1.0": Path("/home/a b/lib/libpython3.11.so.1.0"),
        "/lib64/ld-linux-x86-64.so.2": Path("/lib64/ld-linux-x86-64.so.2"),
    }


def test_the_loaders_table_is_read_for_the_machines_own_kind():
    assert parse_ldconfig(LDCONFIG) == {
        "libc.so.6": Path("/lib/x86_64-linux-gnu/libc.so.6"),
        "libz.so.1": Path("/lib/x86_64-linux-gnu/libz.so.1"),
    }


def test_libraries_lie_together_and_the_loader_where_programs_name_it():
    found = placed(
        {
            "libc.so.6": Path("/lib/x/libc.so.6"),
            "libpython3.11.so.1.0": Path("/home/me/lib/libpython3.11.so.1.0"),
            "/lib64/ld.so": Path("/lib64/ld.so"),
        }
    )

    assert list(found) == ["/lib/x/libc.so.6", "/lib/x/libpython3.11.so.1.0", "/lib64/ld.so"]


def test_this_machines_libraries_are_found():
    found = needed([Path(ask(Path(sys.executable)).executable)])

    assert {"libc.so.6", "libm.so.6", "libpthread.so.0", "libgcc_s.so.1"} <= set(found)
    assert all(path.is_file() for path in found.values())


def test_a_virtual_environment_answers_for_the_python_below_it():
    found = ask(Path(sys.executable))

    assert found.minor == f"3.{sys.version_info.minor}"
    assert found.prefix == Path(sys.base_prefix)
    assert (found.stdlib / "os.py").is_file()


@pytest.mark.parametrize("python", ["/none/python3", "/bin/cat"])
def test_what_is_no_python_is_said(python):
    with pytest.raises(EnvironmentFailed, match="does not answer as a Python does"):
        ask(Path(python))


def interpreter(**changed):
    said = {
        "executable": "/usr/bin/python3.11",
        "version": "3.11.2",
        "implementation": "CPython",
        "prefix": "/usr",
        "library": "lib",
        "stdlib": "/usr/lib/python3.11",
        "extensions": "/usr/lib/python3.11/lib-dynload",
        "libc": "glibc-2.36",
        "system": "linux",
    }
    return interpreter_of(json.dumps(said | changed))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"system": "darwin"}, "This is darwin"),
        ({"libc": "-"}, "glibc"),
        ({"implementation": "PyPy"}, "PyPy"),
    ],
)
def test_a_python_of_which_no_base_can_be_made_is_said(changed, said):
    with pytest.raises(EnvironmentFailed, match=said):
        check_usable(interpreter(**changed))


def test_versions_are_cut_to_what_packages_depend_on():
    assert [minor_of(one) for one in ("3.11.7", "3.12", "3.13.0rc1")] == ["3.11", "3.12", "3.13"]


def write(top, *names):
    for name in names:
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(str(top))


def test_a_standard_library_comes_without_what_no_model_calls_and_without_names_of_its_maker(tmp_path):
    home = tmp_path / "lib" / "python3.11"
    write(
        home,
        "os.py",
        "unittest/case.py",
        "lib-dynload/_json.cpython-311.so",
        "_sysconfigdata__linux_.py",
        "test/test_os.py",
        "ctypes/test/test_a.py",
        "site-packages/pip/__init__.py",
        "lib-dynload/_testcapi.cpython-311.so",
        "sitecustomize.py",
        "__pycache__/os.cpython-311.pyc",
    )
    found = interpreter(
        prefix=str(tmp_path), stdlib=str(home), extensions=str(home / "lib-dynload"), executable="/bin/sh"
    )

    entries = {entry.name: entry for entry in rootfs.standard_library(found)}

    inside = "/usr/local/lib/python3.11"
    assert set(entries) == {
        f"{inside}/os.py",
        f"{inside}/unittest/case.py",
        f"{inside}/lib-dynload/_json.cpython-311.so",
        f"{inside}/_sysconfigdata__linux_.py",
    }
    assert entries[f"{inside}/_sysconfigdata__linux_.py"].replace == ((str(tmp_path), "/usr/local"),)


def test_time_zones_come_once(tmp_path):
    write(tmp_path, "Europe/Berlin", "right/Europe/Berlin", "posix/UTC", "localtime", "UTC")

    assert [entry.name for entry in rootfs.zones(tmp_path)] == [
        "/usr/share/zoneinfo/UTC",
        "/usr/share/zoneinfo/Europe/Berlin",
    ]


# --- does it fit ----------------------------------------------------------------------------

BASE = Base("base:1", "id", "/usr/local/bin/python3", "3.11.7", "glibc-2.36", Beneath((), {}, "amd64"))


@pytest.mark.parametrize(
    ("platforms", "needs"),
    [
        ((), None),
        (("manylinux_2_17_x86_64", "manylinux2014_x86_64"), (2, 17)),
        (("manylinux_2_27_x86_64", "manylinux_2_28_x86_64"), (2, 27)),
        (("manylinux1_x86_64",), (2, 5)),
        (("linux_x86_64",), (2, 36)),
        (("musllinux_1_2_x86_64",), None),
    ],
)
def test_what_c_library_a_wheel_needs(platforms, needs):
    assert needed_libc(platforms, "glibc-2.36") == needs


@pytest.mark.parametrize("libc", ["glibc-2.27", "-"])
def test_a_package_for_a_newer_c_library_is_said(libc):
    base = Base("base:1", "id", "python3", "3.11.7", libc, BASE.beneath)
    package = Package("numpy", "2.0", (), 0, platforms=frozenset({"manylinux_2_28_x86_64"}))

    with pytest.raises(EnvironmentFailed, match=r"numpy 2.0 is compiled for glibc 2.28 or newer"):
        check_libc(base, [package], "glibc-2.36")


def test_pure_packages_fit_on_every_base():
    check_libc(Base("b", "i", "p", "3.11.7", "-", BASE.beneath), [Package("attrs", "1", (), 0)], "glibc-2.36")


# --- the archive ----------------------------------------------------------------------------

BENEATH = Beneath(
    ("sha256:aa",), {"Env": ["PATH=/bin", "A=1"], "Labels": {"x": "base"}, "Cmd": ["python3"]}, "arm64"
)
BLOBS = [Blob("numpy", "sha256:bb"), Blob("scipy", "sha256:cc", Path("/t/1.tar"), 20)]


def test_an_image_keeps_what_its_base_says_where_it_says_nothing_itself():
    made = configuration(BENEATH, BLOBS, {"A": "2"}, {"y": "own"}, "now")

    assert made["rootfs"]["diff_ids"] == ["sha256:aa", "sha256:bb", "sha256:cc"]
    assert made["config"] == {
        "Env": ["PATH=/bin", "A=2"],
        "Labels": {"x": "base", "y": "own"},
        "Cmd": ["python3"],
    }
    assert (made["architecture"], len(made["history"])) == ("arm64", 3)


def test_an_archive_describes_all_layers_and_holds_those_that_are_new():
    entries = {e.name: e for e in archive("name:1", BENEATH, BLOBS, {})}
    index = json.loads(entries["index.json"].text)
    described = index["manifests"][0]
    manifest = json.loads(entries[f"blobs/{described['digest'].replace(':', '/')}"].text)

    assert [layer["digest"] for layer in manifest["layers"]] == ["sha256:aa", "sha256:bb", "sha256:cc"]
    assert described["annotations"] == {"org.opencontainers.image.ref.name": "name:1"}
    assert [name for name, entry in entries.items() if entry.source] == ["blobs/sha256/cc"]
    assert f"blobs/{manifest['config']['digest'].replace(':', '/')}" in entries


# --- of Debian's packages -------------------------------------------------------------------


def test_debians_programs_are_told_what_wheels_expect(tmp_path):
    unprivileged = debian.mmdebstrap("trixie", "http://mirror.example/debian", tmp_path / "root.tar")
    of_root = debian.debootstrap("bookworm", "", tmp_path / "root")

    assert unprivileged[-3:] == ["trixie", str(tmp_path / "root.tar"), "http://mirror.example/debian"]
    assert of_root[-2:] == ["bookworm", str(tmp_path / "root")]
    for command in (unprivileged, of_root):
        assert any(
            {"python3", "libgomp1", "ca-certificates"} <= set(part[10:].split(",")) for part in command
        )


def test_without_these_programs_it_is_said_how_to_get_them(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(EnvironmentFailed) as caught, debian.fetched("bookworm", ""):
        pass

    assert "apt install mmdebstrap" in caught.value.hint


def test_a_program_that_fails_is_quoted():
    with pytest.raises(EnvironmentFailed, match="sh failed with 3: E: no such suite"):
        debian.run(["sh", "-c", "echo E: no such suite >&2; exit 3"])


def test_all_files_get_one_owner_and_none_makes_root_of_a_user():
    before = io.BytesIO()
    with tarfile.open(fileobj=before, mode="w") as tar:
        for name, mode, kind in (("su", 0o4755, tarfile.REGTYPE), ("tmp", 0o1777, tarfile.DIRTYPE)):
            info = tarfile.TarInfo(name)
            info.mode, info.type, info.uid, info.uname, info.size = mode, kind, 5, "games", 3 * (name == "su")
            tar.addfile(info, io.BytesIO(b"sh\n"))
        device = tarfile.TarInfo("null")
        device.type = tarfile.CHRTYPE
        tar.addfile(device)
        link = tarfile.TarInfo("sh")
        link.type, link.linkname = tarfile.SYMTYPE, "su"
        tar.addfile(link)

    parts = [before.getvalue()[start : start + 700] for start in range(0, len(before.getvalue()), 700)]
    with tarfile.open(fileobj=io.BytesIO(b"".join(reowned(parts, 9)))) as tar:
        found = {info.name: info for info in tar}
        content = tar.extractfile("su").read()

    assert {name: info.mode for name, info in found.items() if name != "sh"} == {"su": 0o755, "tmp": 0o1777}
    assert {(info.uid, info.gid, info.uname) for info in found.values()} == {(9, 9, "")}
    assert (found["sh"].linkname, content) == ("su", b"sh\n")
