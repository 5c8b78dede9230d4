"""Directories that MLflow wrote; the files are as mlflow-skinny 3.17 writes them."""

from __future__ import annotations

import pytest

from prism_core.environment import Requirement
from prism_core.environments.mlflow import BY, asked, stated_by_mlflow
from prism_core.environments.needs import OWNER
from prism_core.errors import ConfigError

REQUIREMENTS = "mlflow==3.17.2\ncloudpickle==3.1.3\npandas==3.1.1\nscikit-learn==1.9.1"
CONDA = """channels:
- conda-forge
dependencies:
- python=3.12.1
- pip
- pip:
  - mlflow==3.17.2
  - scikit-learn==1.9.1
name: mlflow-env
"""
PYTHON = """python: 3.12.1
build_dependencies:
- pip
- setuptools
- wheel
dependencies:
- -r requirements.txt
"""


@pytest.fixture
def logged(tmp_path):
    """Return a directory of MLflow's with these files."""

    def write(**files: str):
        names = {"requirements": "requirements.txt", "conda": "conda.yaml", "python": "python_env.yaml"}
        (tmp_path / "MLmodel").write_text("flavors:\n  sklearn:\n    pickled_model: model.pkl\n")
        for key, text in files.items():
            (tmp_path / names[key]).write_text(text)
        return tmp_path

    return write


def test_what_is_no_directory_of_mlflows_states_nothing(tmp_path):
    (tmp_path / "requirements.txt").write_text("numpy")

    assert stated_by_mlflow(tmp_path) is None
    assert stated_by_mlflow(tmp_path / "requirements.txt") is None
    assert asked(tmp_path, [Requirement("numpy")]).requirements == (Requirement("numpy"),)


def test_it_states_packages_and_a_python_and_not_mlflow_itself(logged):
    found = stated_by_mlflow(logged(requirements=REQUIREMENTS, conda=CONDA, python=PYTHON))

    assert found.requirements == ("pandas==3.1.1", "scikit-learn==1.9.1")
    assert found.python == "3.12"
    assert found.notes == ()


def test_without_a_file_of_requirements_condas_is_taken(logged):
    found = stated_by_mlflow(logged(conda=CONDA))

    assert found.requirements == ("scikit-learn==1.9.1",)
    assert found.python == "3.12"


def test_its_word_comes_between_the_artifacts_and_the_owners(logged):
    said = [
        Requirement("scikit-learn", "==1.9.1", "a pickle"),
        Requirement("numpy", ">=2", "a pickle", False),
    ]

    needs = asked(logged(requirements=REQUIREMENTS, python=PYTHON), said, ["pandas<3"], "3.13")

    assert {one.name: (one.specifier, one.reason, one.strict) for one in needs.requirements} == {
        "numpy": (">=2", "a pickle", False),
        "pandas": ("<3", OWNER, True),
        "scikit-learn": ("==1.9.1", BY, True),
    }
    assert needs.python == "3.13"
    assert asked(logged(python=PYTHON), said).python == "3.12"


def test_it_says_versions_of_what_is_installed_and_does_not_choose_packages(logged):
    """Somebody may have written a package for the very name, with code that runs as Python starts."""
    directory = logged(requirements="scikit-learn==1.9.1\nSciPy==1.17.1\nevil-package\npsutil==7.0\n")
    said = [Requirement("scikit-learn", "==1.9.1", "a pickle")]

    needs = asked(directory, said, known=lambda: ["scipy", "numpy"])

    assert [one.pep508 for one in needs.requirements] == ["scikit-learn==1.9.1", "scipy==1.17.1"]
    assert needs.notes[0].startswith("MLflow also lists evil-package, psutil: not installed")
    whole = asked(directory, said, ["psutil", "evil-package"], known=lambda: ["scipy"])
    assert [one.name for one in whole.requirements] == ["evil-package", "psutil", "scikit-learn", "scipy"]
    assert whole.notes == ()


def test_a_pickle_of_another_release_than_it_writes_down_is_told(logged):
    needs = asked(logged(requirements="scikit-learn==1.6.1"), [Requirement("scikit-learn", "==1.5.2", "x")])

    assert needs.notes == (
        "The model was made with scikit-learn 1.5.2; scikit-learn==1.6.1 is written down by MLflow: "
        "answers may differ, or it may not load.",
    )


# --- strangers ---------------------------------------------------------------------------------


def test_what_no_package_index_has_is_left_out_and_told(logged):
    text = "-r /etc/passwd\n--index-url https://u:secret@example.org\n-e .\nx @ file:///x\nnumpy\n"

    found = stated_by_mlflow(logged(requirements=text))

    assert found.requirements == ("numpy",)
    assert len(found.notes) == 4
    assert all(note.endswith("Left out.") for note in found.notes)
    assert "secret" not in " ".join(found.notes)


@pytest.mark.parametrize("old", ["3.8.1", "2.7", "nonsense", "3.12; x", "[]", "{}"])
def test_a_python_that_cannot_be_had_is_told_and_the_servers_taken(logged, old):
    needs = asked(logged(python=f"python: {old}\n"), [])

    assert needs.python == ""


@pytest.mark.parametrize(
    "yaml",
    [
        "dependencies: 5",
        "!!python/object/apply:os.system [x]",
        "[" * 9000,
        "a" * 300_000,
        "dependencies: [x===y]",
        "a: &a [x, x]\nb: &b [*a, *a]\ndependencies: [*b]",
    ],
)
def test_hostile_files_are_read_within_bounds(logged, yaml):
    found = stated_by_mlflow(logged(conda=yaml, python=yaml))

    assert found.requirements == ()
    assert found.notes


def test_a_link_out_of_the_directory_is_not_followed(logged, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "requirements.txt"
    elsewhere.write_text("numpy")
    directory = logged()
    (directory / "requirements.txt").symlink_to(elsewhere)

    assert stated_by_mlflow(directory).requirements == ()


def test_thousands_of_conditions_on_one_name_are_not_compared(logged):
    """It would take minutes."""
    lines = "".join(f"numpy!=1.{number}\n" for number in range(9000))

    with pytest.raises(ConfigError, match="9000 things about numpy"):
        asked(logged(requirements=lines), [], known=lambda: ["numpy"])
