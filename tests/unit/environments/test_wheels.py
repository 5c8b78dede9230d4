import subprocess
import sys
import zipfile
from importlib.metadata import Distribution, PathDistribution, distribution

import pytest

from prism_core.environments.wheels import installed, is_editable, repack
from prism_core.errors import EnvironmentFailed

METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\nRequires-Dist: attrs>=24\n"


def names(wheel):
    with zipfile.ZipFile(wheel.path) as archive:
        assert archive.testzip() is None
        return archive.namelist()


def put(directory, files):
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def made(site, name, files, info):
    """Return a distribution as an installer leaves it in ``site``."""
    put(site, files)
    directory = site / f"{name.replace('-', '_')}-1.2.dist-info"
    put(directory, {"METADATA": METADATA.format(name=name), **info})
    return PathDistribution(directory)


def record(*files):
    return {"RECORD": "".join(f"{file},,\n" for file in files)}


@pytest.mark.parametrize("name", ["prism-core", "prism-sklearn", "prism-onnx", "prism-lookup"])
def test_what_is_installed_becomes_a_wheel_that_python_imports(tmp_path, name):
    module = name.replace("-", "_")

    wheel = repack(distribution(name), tmp_path)

    assert f"{module}-{wheel.version}.dist-info/METADATA" in names(wheel)
    show = f"import {module}; print({module}.__file__)"
    run = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(wheel.path)!r}); {show}"]
    assert subprocess.check_output(run, text=True).startswith(str(wheel.path))


def test_the_same_code_is_the_same_wheel(tmp_path):
    first = repack(distribution("prism-core"), tmp_path / "one")
    second = repack(distribution("prism-core"), tmp_path / "two")

    assert first.digest == second.digest
    assert first.path.read_bytes() == second.path.read_bytes()


def test_other_code_is_another_wheel(tmp_path):
    files = {"thing/__init__.py": "A = 1\n"}
    found = made(tmp_path / "site", "thing", files, record(*files))
    before = repack(found, tmp_path / "wheels")
    (tmp_path / "site/thing/__init__.py").write_text("A = 2\n")

    after = repack(found, tmp_path / "wheels")

    assert before.path != after.path
    assert before.path.exists()


def test_a_wheel_holds_its_code_and_nothing_of_the_installation(tmp_path):
    files = {"thing/__init__.py": "", "thing/data/table.csv": "1,2\n", "thing/__pycache__/a.pyc": "x"}
    info = {"entry_points.txt": "[prism]\nthing = thing\n", "INSTALLER": "pip", "licenses/LICENSE": "MIT"}
    listed = [*files, "../../../bin/thing", *(f"thing-1.2.dist-info/{name}" for name in info)]
    found = made(tmp_path / "site", "thing", files, info | record(*listed))

    wheel = repack(found, tmp_path / "wheels")

    inside = [name.replace("thing-1.2.dist-info/", "") for name in names(wheel)]
    expected = ["thing/__init__.py", "thing/data/table.csv"]
    assert inside == [*expected, "METADATA", "WHEEL", "entry_points.txt", "licenses/LICENSE", "RECORD"]
    assert wheel.path.name == "thing-1.2-py3-none-any.whl"


def test_a_compiled_module_ties_a_wheel_to_this_python(tmp_path):
    files = {"thing.abi3.so": ""}
    found = made(tmp_path / "site", "thing", files, record(*files))

    wheel = repack(found, tmp_path / "wheels")

    assert "none-any" not in wheel.path.name
    assert f"cp3{sys.version_info.minor}" in wheel.path.name


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """Return how to make an editable distribution of files in a checkout."""
    source = tmp_path / "checkout"
    monkeypatch.syspath_prepend(str(source))

    def make(name, files, **info) -> Distribution:
        put(source, files)
        direct = '{"url": "file:///checkout", "dir_info": {"editable": true}}'
        return made(
            tmp_path / "site",
            name,
            {},
            {"direct_url.json": direct, **info} | record(f"__editable__.{name}.pth"),
        )

    return make


def test_a_checkout_gives_its_packages(checkout, tmp_path):
    """An editable installation lists no code: entry points and its own name say what it has."""
    files = {"far_away_one/__init__.py": "", "far_away_one/a/b.py": "", "neighbour.py": "", "far_away.py": ""}
    entry = "[prism]\none = far_away_one.a.b\n"
    found = checkout("far-away", files, **{"entry_points.txt": entry})

    wheel = repack(found, tmp_path / "wheels")

    code = {name for name in names(wheel) if ".dist-info/" not in name}
    assert is_editable(found)
    assert code == {"far_away_one/__init__.py", "far_away_one/a/b.py", "far_away.py"}


def test_a_namespace_gives_the_part_that_is_its_own(checkout, tmp_path):
    files = {"shared_ns/mine/__init__.py": "", "shared_ns/other/__init__.py": ""}
    found = checkout("ns-mine", files, **{"entry_points.txt": "[prism]\nx = shared_ns.mine\n"})

    wheel = repack(found, tmp_path / "wheels")

    assert [name for name in names(wheel) if ".dist-info/" not in name] == ["shared_ns/mine/__init__.py"]


def test_what_is_not_installed_is_named():
    with pytest.raises(EnvironmentFailed, match="'no-such-thing' is not installed"):
        installed("no-such-thing")
