"""Which files an image gets, and in which layers they lie."""

import re
import sys
import zipfile
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.plugin import Environment, EnvironmentFailed, Pin
from prism_podman.images.containerfile import quoted, tag_of, text_of
from prism_podman.images.layers import LARGE_BYTES, depths_of, layered
from prism_podman.images.selection import (
    Package,
    directories_of_tests,
    is_wanted,
    platforms_of,
    required_names,
    searched,
    selected,
)

MB = 1024 * 1024


def package(name, size_mb=0, requires=(), own=False):
    return Package(name, "1.0", (), size_mb * MB, frozenset(requires), digest="d" if own else "")


def install(site, name, version, files, requires=()):
    """Write what an installer would write."""
    about = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {one}\n" for one in requires)
    wheel = "Wheel-Version: 1.0\nTag: cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64\n"
    files = {**files, f"{about}/METADATA": metadata, f"{about}/WHEEL": wheel, f"{about}/INSTALLER": "pip\n"}
    for path, text in files.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(text)
    (site / about / "RECORD").write_text("".join(f"{path},,\n" for path in files))


@pytest.mark.parametrize(
    ("file", "wanted"),
    [
        ("numpy/core.py", True),
        ("numpy.libs/libopenblas.so", True),
        ("numpy-1.0.dist-info/METADATA", True),
        ("numpy-1.0.dist-info/direct_url.json", False),
        ("numpy/INSTALLER", True),
        ("numpy/__pycache__/core.cpython-311.pyc", False),
        ("old.pyc", False),
        ("distutils-precedence.pth", False),
        ("../../../bin/f2py", False),
        ("/etc/passwd", False),
    ],
)
def test_what_an_image_gets_of_a_package(file, wanted):
    assert is_wanted(PurePosixPath(file)) is wanted


def test_only_pins_are_taken_and_of_them_what_their_record_lists(tmp_path):
    install(
        tmp_path, "one", "1.0", {"one/__init__.py": "", "one/tests/test_a.py": "", "one/tests/data.csv": ""}
    )
    install(tmp_path, "other", "1.0", {"other.py": ""})
    (tmp_path / "one" / "stray.py").write_text("")

    (found,) = selected(Environment("k", "python", "3.11.7", (Pin("one", "1.0"),)), [str(tmp_path)])

    assert {entry.name for entry in found.files} == {
        "one/__init__.py",
        "one-1.0.dist-info/METADATA",
        "one-1.0.dist-info/WHEEL",
    }
    assert {entry.shown for entry in found.files} == {f"/opt/prism/site/{e.name}" for e in found.files}


def test_packages_are_looked_for_where_their_interpreter_has_them(tmp_path):
    (tmp_path / "lib" / "python3.12" / "site-packages").mkdir(parents=True)
    other = str(tmp_path / "bin" / "python")

    assert searched(Environment("server", sys.executable, "3.11.7")) == sys.path
    for key in ("server", "abc"):
        found = searched(Environment(key, other, "3.12.1"))
        assert found == [str(tmp_path / "lib" / "python3.12" / "site-packages")]


def test_what_a_package_asks_for_and_runs_on_is_read(tmp_path):
    install(tmp_path, "scikit_learn", "1.0", {"a.py": ""}, ["NumPy>=1.19", 'SciPy (>=1) ; extra == "all"'])

    (found,) = selected(Environment("k", "p", "3.11.7", (Pin("scikit-learn", "1.0"),)), [str(tmp_path)])

    assert (found.name, found.requires) == ("scikit-learn", {"numpy", "scipy"})
    assert found.platforms == {"manylinux_2_17_x86_64", "manylinux2014_x86_64"}


def test_an_own_wheel_is_taken_from_its_file(tmp_path):
    with zipfile.ZipFile(tmp_path / "own.whl", "w") as wheel:
        wheel.writestr("own/__init__.py", "")
        wheel.writestr(
            "own-1.0.dist-info/METADATA", "Name: own\nRequires-Dist: numpy>=1\n\nRequires-Dist: prose\n"
        )
        wheel.writestr("own-1.0.dist-info/WHEEL", "Tag: py3-none-any\n")
    environment = Environment("k", "p", "3.11.7", (Pin("own", "1.0", wheel=str(tmp_path / "own.whl")),))

    (found,) = selected(environment, [str(tmp_path)])

    assert (found.own, found.requires, found.platforms) == (True, {"numpy"}, frozenset())
    assert {(e.name, e.member) for e in found.files} > {("own/__init__.py", "own/__init__.py")}


@pytest.mark.parametrize(
    ("pin", "said"),
    [(Pin("none", "1.0"), "it is not there"), (Pin("one", "2.0"), "there is 1.0")],
)
def test_what_is_not_installed_is_said(tmp_path, pin, said):
    install(tmp_path, "one", "1.0", {"one.py": ""})

    with pytest.raises(EnvironmentFailed, match=said):
        selected(Environment("k", "p", "3.11.7", (pin,)), [str(tmp_path)])


def test_a_package_without_a_list_of_its_files_is_said(tmp_path):
    install(tmp_path, "one", "1.0", {"one.py": ""})
    (tmp_path / "one-1.0.dist-info" / "RECORD").unlink()

    with pytest.raises(EnvironmentFailed, match="no list of its files"):
        selected(Environment("k", "p", "3.11.7", (Pin("one", "1.0"),)), [str(tmp_path)])


def test_only_directories_that_hold_tests_are_directories_of_tests():
    files = ["a/tests/test_x.py", "a/tests/data/y.csv", "b/tests/helper.py", "c/testing/test_z.py"]

    assert directories_of_tests(map(PurePosixPath, files)) == {PurePosixPath("a/tests")}


def test_names_and_platforms_are_read_as_they_are_written():
    assert required_names(["A.b_c[extra]>=1", " numpy", ">=3"]) == {"a-b-c", "numpy"}
    assert platforms_of("Tag: py3-none-any\nTag: cp311-abi3-linux_x86_64\n") == {"linux_x86_64"}


# --- layers ---------------------------------------------------------------------------------

SKLEARN = [
    package("scikit-learn", 40, {"numpy", "scipy", "joblib"}),
    package("joblib", 1),
    package("prism-core", 1, {"numpy"}, own=True),
    package("scipy", 100, {"numpy"}),
    package("numpy", 50),
    package("attrs"),
]


def test_what_others_are_built_on_lies_lowest_and_prisms_own_last():
    titles = [layer.title for layer in layered(SKLEARN)]

    assert titles == ["numpy 1.0", "scipy 1.0", "scikit-learn 1.0", "2 smaller packages", "PRISM's runtime"]


@given(st.permutations(SKLEARN))
def test_the_order_in_which_packages_come_is_no_matter(packages):
    assert layered(packages) == layered(SKLEARN)


sizes = st.integers(0, 3 * LARGE_BYTES)
several = st.lists(
    st.builds(
        Package,
        st.sampled_from("abcdefghijklmnop"),
        st.just("1"),
        st.just(()),
        sizes,
        digest=st.sampled_from(["", "d"]),
    ),
    unique_by=lambda one: one.name,
)


@given(several)
def test_every_package_lies_in_one_layer_and_own_ones_above_all_others(packages):
    layers = layered(packages)
    lying = [one for layer in layers for one in layer.packages]

    assert sorted(one.name for one in lying) == sorted(one.name for one in packages)
    assert [one.own for one in lying] == sorted(one.own for one in packages)
    assert len(layers) <= 14


def test_packages_that_need_each_other_have_an_order_all_the_same():
    assert depths_of({"a": frozenset("b"), "b": frozenset("a"), "c": frozenset("ax")}) == {
        "a": 1,
        "b": 0,
        "c": 2,
    }


# --- names and the Containerfile ------------------------------------------------------------

ENVIRONMENT = Environment("server", "python", "3.11.7", (Pin("numpy", "2.0"), Pin("attrs", "24.1")))


def test_a_tag_tells_apart_all_that_makes_another_image(tmp_path):
    wheel = tmp_path / "a.whl"
    wheel.write_bytes(b"1")
    own = Environment("server", "python", "3.11.7", (Pin("a", "1", wheel=str(wheel)),))
    before = tag_of(own, "base", "me", 0)
    wheel.write_bytes(b"2")
    others = [
        before,
        tag_of(own, "base", "me", 0),
        tag_of(ENVIRONMENT, "base", "me", 0),
        tag_of(ENVIRONMENT, "other", "me", 0),
        tag_of(ENVIRONMENT, "base", "you", 0),
        tag_of(ENVIRONMENT, "base", "me", 7),
        tag_of(Environment("server", "python", "3.12.1", ENVIRONMENT.pins), "base", "me", 0),
        tag_of(Environment("server", "python", "3.11.7", ENVIRONMENT.pins[:1]), "base", "me", 0),
    ]

    assert len(set(others)) == len(others)


def test_a_tag_does_not_depend_on_what_does_not_matter():
    same = Environment("server", "/elsewhere/python", "3.11.9", ENVIRONMENT.pins[::-1])

    assert tag_of(same, "base", "me", 0) == tag_of(ENVIRONMENT, "base", "me", 0)


def test_the_containerfile_needs_no_shell_and_no_network():
    text = text_of("base:1", layered(SKLEARN[3:5]), {"prism.environment": 'a "$b"'})

    assert text.splitlines() == [
        "FROM base:1",
        "# numpy 1.0",
        "ADD 00.tar /",
        "# scipy 1.0",
        "ADD 01.tar /",
        'ENV PYTHONPATH="/opt/prism/site" PYTHONDONTWRITEBYTECODE="1" PYTHONUNBUFFERED="1"',
        'LABEL prism.environment="a \\"\\$b\\""',
    ]


@given(st.text())
def test_a_quoted_value_stays_on_its_line_and_what_it_is(text):
    inside = quoted(text)[1:-1]

    assert re.sub(r"\\(.)", r"\1", inside) == "".join(c for c in text if c.isprintable())
    assert not re.search(r'["$]', re.sub(r"\\.", "", inside))
