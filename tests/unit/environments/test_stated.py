"""What owners wrote down: files of requirements, projects, environments of conda."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.environments.needs import parsed_requirement
from prism_core.environments.stated import Stated, stated
from prism_core.errors import ConfigError


@pytest.fixture
def said(tmp_path):
    """Return what a file of some text states."""

    def write(text: str, name: str = "requirements.txt", python: str = "") -> Stated:
        path = tmp_path / name
        path.write_text(text)
        return stated(path, python)

    return write


# --- requirements.txt --------------------------------------------------------------------------


def test_lines_are_taken_as_pip_reads_them(said):
    found = said(
        "# what it needs\n"
        "\n"
        "scikit-learn==1.5.2  # as trained\r\n"
        "numpy >=1.26, \\\n"
        "    <2\n"
        "pandas[parquet]~=2.2; python_version >= '3.11'\n"
    )

    assert found == Stated(
        ("scikit-learn==1.5.2", "numpy >=1.26, <2", "pandas[parquet]~=2.2; python_version >= '3.11'")
    )


def test_a_byte_order_mark_is_no_part_of_a_name(said):
    assert said("\ufeffnumpy").requirements == ("numpy",)


def test_other_files_are_included_from_beside_it(said, tmp_path):
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "base.txt").write_text("-r deeper.txt\nscipy")
    (tmp_path / "more" / "deeper.txt").write_text("joblib")

    assert said("-r more/base.txt\n--requirement=more/deeper.txt\nnumpy").requirements == (
        "joblib",
        "scipy",
        "joblib",
        "numpy",
    )


def test_a_circle_of_files_is_an_error(said, tmp_path):
    (tmp_path / "other.txt").write_text("-r other.txt")

    with pytest.raises(ConfigError, match=r"^other.txt, line 1: It includes 'other.txt'"):
        said("-r other.txt")


def test_hashes_and_how_to_install_change_nothing_and_are_told(said):
    found = said(
        "--only-binary=:all:\n"
        "numpy==1.26.4 \\\n    --hash=sha256:aa11 \\\n    --hash=sha256:bb22\n"
        "scipy==1.13.0 --hash sha256:cc33\n"
    )

    assert found.requirements == ("numpy==1.26.4", "scipy==1.13.0")
    assert found.notes == (
        "--only-binary in requirements.txt changes nothing here.",
        "The hashes in requirements.txt are not compared: versions alone decide.",
    )


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("-e .", "-e installs from a directory of this machine"),
        ("--editable=./lib", "--editable installs from a directory"),
        ("--index-url https://user:secret@example.org/simple", "--index-url chooses a package index"),
        ("--extra-index-url=https://example.org", "--extra-index-url chooses"),
        ("-i https://example.org", "-i chooses"),
        ("-f wheels/", "-f chooses"),
        ("--pre", "The option --pre is not taken"),
        ("-c constraints.txt", "The option -c is not taken"),
        ("https://example.org/x.whl", "is no requirement"),
        ("x @ https://example.org/x.whl", "is installed from an address"),
        ("git+https://example.org/x", "is no requirement"),
        ("./wheels/x.whl", "is no requirement"),
        ("${NAME}==1.0", "is no requirement"),
        ("x==1.0 y", "is no requirement"),
        ("-r missing.txt", "There is no file"),
    ],
)
def test_what_no_package_index_has_is_refused_with_its_line(said, line, told):
    with pytest.raises(ConfigError) as caught:
        said(f"# first\nnumpy\n{line}\n")

    assert caught.value.message.startswith("requirements.txt, line 3: ")
    assert told in caught.value.message
    assert "secret" not in caught.value.message


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "requirements.txt"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(ConfigError, match="cannot be read"):
        stated(path)


@given(st.text())
def test_of_any_text_only_requirements_come_out(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        found = stated(path).requirements
    except ConfigError:
        return

    assert all(parsed_requirement(one).url is None for one in found)


# --- pyproject.toml ----------------------------------------------------------------------------


def test_a_project_states_its_dependencies_and_its_python(said):
    text = '[project]\nname = "x"\nrequires-python = ">=3.11"\ndependencies = ["numpy<2", "x[y]>=1"]\n'

    assert said(text, "pyproject.toml") == Stated(("numpy<2", "x[y]>=1"), ">=3.11")
    assert said(text, "pyproject.toml", "3.12").python == "3.12"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[tool.poetry]\n", r"has no table \[project\]"),
        ('[project]\ndynamic = ["dependencies"]', "dynamic"),
        ('[project]\ndependencies = "numpy"', "project.dependencies"),
        ("[project]\ndependencies = [1]", "project.dependencies"),
        ("[project]\nrequires-python = 3.11", "project.requires-python"),
        ('[project]\nrequires-python = "<3.11"', r"pyproject.toml: Python '<3.11' is asked for"),
        ('[project]\ndependencies = ["x @ file:///x"]', r"pyproject.toml: .* from an address"),
        ("[project\n", "is no TOML"),
    ],
)
def test_a_project_that_states_nothing_that_can_be_had_is_refused(said, text, told):
    with pytest.raises(ConfigError, match=told):
        said(text, "pyproject.toml")


# --- conda -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "requirement"),
    [
        ("scikit-learn", "scikit-learn"),
        ("scikit-learn=1.5", "scikit-learn==1.5.*"),
        ("scikit-learn=1.5.2", "scikit-learn==1.5.2"),
        ("scikit-learn==1.5", "scikit-learn==1.5"),
        ("scikit-learn=1.5.*", "scikit-learn==1.5.*"),
        ("scikit-learn 1.5.2", "scikit-learn==1.5.2"),
        ("scikit-learn=1.5.2=py311hc009520_0", "scikit-learn==1.5.2"),
        ("scikit-learn 1.5.2 py311hc009520_0", "scikit-learn==1.5.2"),
        ("scikit-learn>=1.4,<1.6", "scikit-learn>=1.4,<1.6"),
        ("scikit-learn >=1.4, !=1.5.0", "scikit-learn>=1.4,!=1.5.0"),
        ("scikit-learn~=1.4", "scikit-learn~=1.4"),
        ("conda-forge::scikit-learn=1.5.2", "scikit-learn==1.5.2"),
        ("conda-forge/linux-64::scikit-learn", "scikit-learn"),
        ("scikit-learn[version='>=1.4,<2', channel=conda-forge]", "scikit-learn>=1.4,<2"),
        ("pytorch=2.1.0=py3.11_cuda11.8_0", "torch==2.1.0"),
        ("py-xgboost=1.7", "xgboost==1.7.*"),
        ("msgpack-python", "msgpack"),
        ("Unheard_of>1", "unheard_of>1"),
    ],
)
def test_names_and_versions_of_conda_become_those_of_pypi(said, entry, requirement):
    assert said(f'dependencies: ["{entry}"]', "environment.yml").requirements == (requirement,)


def test_an_environment_states_its_python_and_what_pip_installs(said, tmp_path):
    (tmp_path / "more.txt").write_text("joblib")
    text = (
        "name: x\nchannels: [conda-forge]\ndependencies:\n- python=3.11.7\n- pip\n- libblas=3.9.0\n- _x=1\n"
    )
    text += "- numpy=1.26|2.0\n- pip:\n  - scikit-learn==1.5.2  # as trained\n  - -r more.txt\n"

    assert said(text, "conda.yaml") == Stated(
        ("numpy", "scikit-learn==1.5.2", "joblib"),
        "3.11",
        (
            "Not of Python's index, left out: libblas, _x.",
            "One of several versions, taken as any: numpy=1.26|2.0.",
        ),
    )


@pytest.mark.parametrize(
    "name", ["libtiff", "libgcc-ng", "snappy", "yaml", "aws-c-io", "_openmp_mutex", "zstd"]
)
def test_a_library_of_the_system_does_not_become_somebodys_package(said, name):
    found = said(f"dependencies: [numpy, {name}=1.2.3=h1234_0, librosa]", "environment.yml")

    assert found.requirements == ("numpy", "librosa")
    assert found.notes == (f"Not of Python's index, left out: {name}.",)


@pytest.mark.parametrize(
    ("entry", "python"),
    [
        ("python", ""),
        ("python=3.12", "3.12"),
        ("python=3.12.1=h_0", "3.12"),
        ("python>=3.11,<3.13", "<3.13,>=3.11"),
    ],
)
def test_the_python_of_an_environment_is_a_minor_version(said, entry, python):
    assert said(f'dependencies: ["{entry}"]', "environment.yml").python == python


def test_an_old_python_is_refused_unless_another_is_named(said):
    text = "dependencies: [python=3.8, numpy]"

    with pytest.raises(ConfigError, match=r"environment.yml: Python '3.8' is asked for"):
        said(text, "environment.yml")
    assert said(text, "environment.yml", "3.12").python == "3.12"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("numpy", "has no list of dependencies"),
        ("dependencies: numpy", "has no list of dependencies"),
        ("dependencies: [1]", "lists a int"),
        ("dependencies: [{pip: numpy}]", "lists a dict"),
        ("dependencies: [{pip: [], conda: []}]", "lists a dict"),
        ("dependencies: ['numpy=']", "compares versions"),
        ("dependencies: ['a b c']", "is no"),
        ("dependencies: ['']", "is no dependency"),
        ("dependencies: [{pip: ['-e .']}]", "-e installs"),
        ("dependencies: [!!python/object:os.system x]", "is no YAML"),
        ("[" * 5000, "is no YAML"),
        ("a: &a [x, x]\nb: &b [*a, *a]\ndependencies: [*b]", "lists a list"),
        ("x: 1\n" * 50_000, "more than 200,000"),
    ],
)
def test_what_is_no_environment_is_refused(said, text, told):
    with pytest.raises(ConfigError, match=told):
        said(text, "environment.yml")


@given(st.text(max_size=80))
def test_of_any_entry_of_conda_only_a_requirement_comes_out(tmp_path_factory, entry):
    import json

    path = tmp_path_factory.getbasetemp() / "any.yml"
    path.write_text(json.dumps({"dependencies": [entry]}))
    try:
        found = stated(path)
    except ConfigError:
        return

    assert all(parsed_requirement(one).url is None for one in found.requirements)
