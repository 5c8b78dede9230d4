import compileall
import os
import platform

import pytest

from prism_core.environments.bytecode import share

HERE = platform.python_version()


@pytest.fixture
def compiled(tmp_path):
    """A package that was compiled, and a copy of it by hard links that was not."""
    (tmp_path / "one" / "package").mkdir(parents=True)
    (tmp_path / "two" / "package").mkdir(parents=True)
    for name in ("package/__init__.py", "package/data.txt", "single.py"):
        (tmp_path / "one" / name).write_text("x = 1\n")
        os.link(tmp_path / "one" / name, tmp_path / "two" / name)
    compileall.compile_dir(tmp_path / "one", quiet=2)
    return tmp_path / "one", tmp_path / "two"


def test_what_is_compiled_of_the_same_file_is_linked(compiled):
    one, two = compiled

    assert share(two, [one], HERE) == 2
    files = [path.relative_to(two) for path in two.rglob("*.pyc")]
    assert len(files) == 2
    assert all(os.path.samefile(two / file, one / file) for file in files)


def test_what_was_linked_is_not_compiled_again(compiled):
    one, two = compiled
    share(two, [one], HERE)

    compileall.compile_dir(two, quiet=2)

    assert all(path.stat().st_nlink == 2 for path in two.rglob("*.pyc"))


def test_another_file_is_not_taken_for_it(compiled):
    one, two = compiled
    (two / "single.py").unlink()
    (two / "single.py").write_text("x = 1\n")

    assert share(two, [one], HERE) == 1


@pytest.mark.parametrize("version", ["3.99.1", "2.7.18"])
def test_another_python_s_is_of_no_use(compiled, version):
    one, two = compiled

    assert share(two, [one], version) == 0


def test_what_is_not_there_is_passed_over(compiled, tmp_path):
    one, two = compiled
    for path in one.rglob("*.pyc"):
        path.unlink()

    assert share(two, [tmp_path / "nowhere", one], HERE) == 0
