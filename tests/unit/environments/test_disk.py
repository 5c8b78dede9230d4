import os

import pytest

from prism_core.environment import Environment, Pin
from prism_core.environments.disk import Disk, site_packages, size_bytes

KEY = "0123456789abcdef"
ENVIRONMENT = Environment(KEY, "python", "3.11.7", (Pin("scikit-learn", "1.5.2"), Pin("b", "2")))


def install(root, name, version, files=("code.py",)):
    site = root / "lib" / "python3.11" / "site-packages"
    info = site / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    for file in files:
        (site / name).mkdir(exist_ok=True)
        (site / name / file).write_text("x = 1\n")
    rows = [*(f"{name}/{file},sha256=x,6" for file in files), f"{info.name}/RECORD,,"]
    (info / "RECORD").write_text("\n".join(rows))
    return site


@pytest.fixture
def disk(tmp_path):
    """An environment as uv leaves it."""
    disk = Disk(tmp_path / "environments")
    root = disk.root(KEY)
    install(root, "scikit_learn", "1.5.2")
    install(root, "B", "2")
    disk.python(KEY).parent.mkdir()
    disk.python(KEY).symlink_to(os.__file__)
    disk.write(ENVIRONMENT)
    return disk


def test_a_whole_environment_has_no_problem(disk):
    assert disk.problem(ENVIRONMENT) == ""
    assert disk.read(KEY) == ENVIRONMENT
    assert list(disk.environments()) == [ENVIRONMENT]


def interpreter_gone(disk):
    disk.python(KEY).unlink()
    disk.python(KEY).symlink_to("/no/such/python")


def package_gone(disk):
    next(site_packages(disk.root(KEY)).glob("B-2.dist-info/RECORD")).unlink()
    next(site_packages(disk.root(KEY)).glob("B-2.dist-info")).rmdir()


def file_gone(disk):
    (site_packages(disk.root(KEY)) / "scikit_learn/code.py").unlink()


def file_emptied(disk):
    (site_packages(disk.root(KEY)) / "B/code.py").write_text("")


def list_gone(disk):
    next(site_packages(disk.root(KEY)).glob("B-2.dist-info/RECORD")).unlink()


def all_gone(disk):
    disk.place(disk.root(KEY), "elsewhere")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (all_gone, "it is not there"),
        (interpreter_gone, "its interpreter is gone"),
        (package_gone, "b 2 is not in it"),
        (file_gone, "scikit_learn/code.py is missing or empty"),
        (file_emptied, "B/code.py is missing or empty"),
        (list_gone, "B-2.dist-info/RECORD is missing or empty"),
    ],
)
def test_damage_is_found(disk, damage, said):
    damage(disk)

    assert disk.problem(ENVIRONMENT) == said


@pytest.mark.parametrize("content", [b"", b"{", b'{"key": 1}'])
def test_a_recipe_that_cannot_be_read_is_none(disk, content):
    disk.recipe(KEY).write_bytes(content)

    assert disk.read(KEY) is None
    assert list(disk.environments()) == []


def test_what_is_made_again_takes_the_place_of_what_was_there(disk):
    with disk.scratch() as scratch:
        (scratch / "made").mkdir()
        (scratch / "made" / "new").touch()
        disk.place(scratch / "made", KEY)

    assert [path.name for path in disk.root(KEY).iterdir()] == ["new"]
    assert sorted(path.name for path in disk.directory.iterdir()) == [KEY, f"{KEY}.json"]


def test_only_what_is_wanted_and_what_is_being_made_stays(disk):
    other = "ff" * 8
    disk.root(other).mkdir()
    disk.recipe(other).touch()
    left = disk.directory / ".new-left-by-a-crash"
    left.mkdir()
    os.utime(left, (1, 1))
    for name in ("kept", "unused"):
        (disk.wheels / name).mkdir(parents=True)
    recipe = disk.directory / "server-1.json"
    recipe.touch()

    with disk.scratch() as scratch:
        removed = disk.collect({KEY}, [recipe, disk.wheels / "kept" / "a.whl"])
        assert scratch.exists()

    assert sorted(removed) == [".new-left-by-a-crash", other, f"{other}.json", "wheels/unused"]
    assert sorted(p.name for p in disk.directory.iterdir()) == [KEY, f"{KEY}.json", "server-1.json", "wheels"]
    assert [p.name for p in disk.wheels.iterdir()] == ["kept"]


def test_a_wheel_of_a_recipe_that_is_wanted_stays(disk):
    (disk.wheels / "abc").mkdir(parents=True)
    disk.write(
        Environment(KEY, "python", "3.11.7", (Pin("a", "1", wheel=str(disk.wheels / "abc" / "a.whl")),))
    )

    assert disk.collect({KEY}) == []
    assert sorted(disk.collect(set())) == [KEY, f"{KEY}.json", "wheels/abc"]


def test_there_is_nothing_to_collect_where_nothing_was_made(tmp_path):
    assert Disk(tmp_path / "none").collect(set()) == []


def test_what_is_linked_is_counted_apart(tmp_path):
    (tmp_path / "own").write_bytes(b"x" * 8192)
    (tmp_path / "shared").write_bytes(b"x" * 8192)
    os.link(tmp_path / "shared", tmp_path / "again")

    own, shared = size_bytes(tmp_path)

    assert (own, shared) == (8192, 16384)
