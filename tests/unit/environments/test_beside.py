"""Packages beside the server that hold what an owner trusts."""

from __future__ import annotations

import importlib
import json

import pytest

from prism_core.environment import Requirement
from prism_core.environments.beside import asked_by_trust, packed_by_trust


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a distribution with one module as pip leaves it behind; ``url``: where it came from."""
    site = tmp_path / "env" / "site-packages"
    site.mkdir(parents=True)
    monkeypatch.syspath_prepend(str(site))

    def put(name: str, module: str, source: dict[str, object] | None = None, checkout: str = ""):
        info = site / f"{name}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        home = tmp_path / checkout if checkout else site
        home.mkdir(exist_ok=True, parents=True)
        (home / f"{module}.py").write_text("raise SystemExit('imported')\n")
        (info / "RECORD").write_text("".join(f"{f},,\n" for f in ([] if checkout else [f"{module}.py"])))
        if source is not None:
            (info / "direct_url.json").write_text(json.dumps(source))
        if checkout:
            monkeypatch.syspath_prepend(str(home))
        importlib.invalidate_caches()

    return put


def checkout_at(path) -> dict[str, object]:
    return {"url": path.as_uri(), "dir_info": {"editable": True}}


def test_a_package_of_an_index_is_asked_for_as_it_is_here(install):
    install("Of_Index", "of_index_mod")

    assert list(asked_by_trust(["of_index_mod.part:Thing", "of_index_mod:other"], ())) == [
        Requirement("of-index", "==1.2", "its owner trusts names of of_index_mod")
    ]
    assert packed_by_trust(["of_index_mod:Thing"]) == []


def test_what_the_model_says_goes_before_what_is_here(install):
    install("of_index", "of_index_mod")

    assert list(asked_by_trust(["of_index_mod:Thing"], ["Of.Index"])) == []


@pytest.mark.parametrize(
    "source",
    [
        {"url": "file:///x/mine-1.2.whl", "archive_info": {}},
        {"url": "https://example.org/x.git", "vcs_info": {"vcs": "git"}},
        {"url": "file:///somewhere/else", "dir_info": {}},
        {"url": 5},
        [],
    ],
)
def test_a_wheel_or_a_repository_is_packed(install, source):
    install("mine", "mine_mod", source)

    assert packed_by_trust(["mine_mod:Thing"]) == ["mine"]
    assert list(asked_by_trust(["mine_mod:Thing"], ())) == []


def test_an_editable_checkout_is_packed_and_not_the_one_around_it(install, tmp_path):
    install("around", "around_mod", checkout_at(tmp_path / "repo"), "repo/src")
    install("within", "within_mod", checkout_at(tmp_path / "repo" / "parts" / "w"), "repo/parts/w/src")

    assert packed_by_trust(["within_mod:Thing"]) == ["within"]
    assert packed_by_trust(["around_mod:Thing", "within_mod:Thing"]) == ["around", "within"]


def test_what_is_installed_in_an_environment_within_a_checkout_is_none_of_its_own(install, tmp_path):
    install("project", "project_mod", checkout_at(tmp_path), "src")
    install("of_index", "of_index_mod")

    assert packed_by_trust(["of_index_mod:Thing"]) == []


@pytest.mark.parametrize(
    "trust",
    [[], ["_operator:neg"], ["os:system"], ["__main__:F"], ["nowhere_mod:X"], [""], ["..:x"], ["a b:c"]],
)
def test_what_is_pythons_own_or_nowhere_asks_for_nothing(trust):
    assert packed_by_trust(trust) == []
    assert list(asked_by_trust(trust, ())) == []
