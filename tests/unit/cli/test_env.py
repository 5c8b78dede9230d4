"""``prism env``, and how far the building of an environment is."""

import json

import pytest
from click.testing import CliRunner

from prism_core.cli.app import app
from prism_core.cli.building import Building
from prism_core.cli.client import AdminClient


def listed(key, versions, **more):
    sizes = {"size_bytes": 0, "shared_bytes": 0, "problem": "", "packages": 16}
    return {"key": key, "python_version": "3.12.1", "versions": versions, **sizes, **more}


LISTED = [
    listed("server", ["digits/1"]),
    listed("3c38", ["churn/1", "churn/2"], size_bytes=1 << 20, shared_bytes=300 << 20),
    listed("ffff", [], problem="its interpreter is gone"),
]
ONE = {
    "model": "churn",
    "version": 2,
    "key": "3c38",
    "python_version": "3.12.1",
    "requirements": [
        {"requirement": "scikit-learn==1.5.2", "reason": "the pickle says so", "strict": True},
        {"requirement": "numpy==2.1", "reason": "its arrays", "strict": False},
    ],
    "pins": [{"name": "numpy", "version": "2.1", "reason": "required by scikit-learn", "source": "index"}],
}
ANSWERS = {
    ("GET", "/environments"): {"environments": LISTED},
    ("POST", "/environments/prune"): {"removed": ["ffff", "ffff.json"]},
    ("GET", "/models/churn/versions/2/environment"): ONE,
}


@pytest.fixture
def run(monkeypatch):
    """Run a command against a server that gives these answers."""
    monkeypatch.setattr(AdminClient, "call", lambda _, method, path, **__: ANSWERS[method, path])

    def run(*words):
        done = CliRunner().invoke(app, ["env", *words, "--server", "http://127.0.0.1:1", "--token", "t"])
        assert done.exit_code == 0, done.output
        return done.stdout

    return run


def test_all_environments_are_listed_with_who_has_them(run):
    lines = run().splitlines()

    assert any("the server's own" in line and "digits/1" in line for line in lines)
    assert any("3c38" in line and "1.0 MB" in line and "churn/1, churn/2" in line for line in lines)
    assert any("its interpreter is gone" in line and "--prune" in line for line in lines)


def test_a_model_is_explained_pin_by_pin(run):
    plain, explained = run("churn/2"), run("churn/2", "--explain")

    assert "churn/2 runs in environment 3c38, with Python 3.12.1." in plain
    assert "the pickle says so" in plain
    assert "numpy==2.1 (if that can be had)" in plain
    assert "required by scikit-learn" not in plain
    assert "required by scikit-learn" in explained


def test_programs_get_the_answers(run):
    assert json.loads(run("--json")) == LISTED
    assert json.loads(run("churn/2", "--json")) == ONE
    assert json.loads(run("--prune", "--json")) == ANSWERS["POST", "/environments/prune"]


def test_what_was_removed_is_named(run, monkeypatch):
    assert run("--prune") == "Removed ffff, ffff.json.\n"
    monkeypatch.setitem(ANSWERS, ("POST", "/environments/prune"), {"removed": []})
    assert run("--prune") == "Nothing to remove.\n"


@pytest.mark.parametrize("words", [("churn", "--prune"), ("--explain",), ("--version", "2")])
def test_what_goes_together(words):
    assert CliRunner().invoke(app, ["env", *words]).exit_code == 2


def test_a_build_is_told_as_it_goes_on():
    building = Building()
    facts = [
        {"step": "environment", "isolation": "process"},
        {"phase": "resolving"},
        {"phase": "installing", "packages": 16},
        {"phase": "downloading", "package": "scipy", "size": "33.7MiB"},
        {"phase": "downloading", "package": "numpy", "size": "17.0MiB"},
        {"phase": "downloaded", "package": "scipy"},
        {"phase": "downloaded", "package": "numpy"},
        {"phase": "compiling", "packages": 1},
        {"phase": "something new"},
    ]

    assert [building.text(one) for one in facts] == [
        "",
        "Finding packages that go together",
        "Installing 16 packages",
        "Downloading scipy (33.7MiB)",
        "Downloading scipy (33.7MiB), numpy (17.0MiB)",
        "Downloading numpy (17.0MiB)",
        "Downloading",
        "Compiling 1 package",
        "",
    ]
