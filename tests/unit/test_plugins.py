"""Finding, loading and indexing plugins: one at a time, and never silently less than asked for."""

import sys
import textwrap

import pytest

from prism_core import hookspecs
from prism_core.errors import PluginConflict, PluginLoadError, UnknownFormat, UnknownPlugin
from prism_core.plugin import Artifact
from prism_core.plugins import BUILT_IN, find, load_plugins

LOADER = """
    from prism_core.plugin import Loader, hookimpl

    @hookimpl
    def prism_loaders():
        yield Loader({name!r}, ({suffix!r},), lambda artifact: {score}, load=None)
"""


FACE = """
    @hookimpl
    def prism_frontends():
        import no_such_module
        yield
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a plugin as pip would: a module, and metadata with its entry point."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def install(name, code, module=""):
        module = module or f"plugin_{name}"
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(code))
        info = tmp_path / f"{module}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[prism]\n{name} = {module}\n")
        return module

    yield install
    for module in set(sys.modules) - before:
        del sys.modules[module]


def loader(name, suffix=".toy", score=1.0):
    return LOADER.format(name=name, suffix=suffix, score=score)


@pytest.fixture
def artifact(tmp_path):
    path = tmp_path / "stored"
    path.write_bytes(b"bytes")
    return Artifact(path, "churn.toy")


def test_an_installed_plugin_is_found_and_indexed(install):
    install("toy", loader("toy"))

    plugins = load_plugins(built_in=())

    assert plugins.loaders["toy"].suffixes == (".toy",)
    assert plugins.owner("prism_loaders", "toy") == "toy"
    toy = plugins.plugins["toy"]
    assert (toy.distribution, toy.version, toy.reference) == ("plugin_toy", "1.2", "toy=plugin_toy")
    assert toy.offers == {"prism_loaders": ("toy",)}


def test_the_built_in_plugins_come_first_and_offer_what_a_server_needs():
    plugins = load_plugins(())

    assert list(plugins.plugins) == list(BUILT_IN)
    assert "application/json" in plugins.normalizers
    assert "process" in plugins.isolation_backends
    assert "memory" in plugins.caches
    assert "lan" in plugins.link_providers


def test_a_built_in_plugin_can_be_blocked():
    assert "lan" not in load_plugins((), blocked=("lan",)).plugins


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import no_such_framework", "no_such_framework"),
        ("raise ValueError('out of order')", "out of order"),
        ("def broken(:", "SyntaxError"),
        (
            "from prism_core.plugin import hookimpl\n@hookimpl\ndef prism_loader(): ...",
            "prism_loader",
        ),
        (
            "from prism_core.plugin import hookimpl\n@hookimpl\ndef prism_loaders(model): ...",
            "prism_loaders",
        ),
        (
            "from prism_core.plugin import hookimpl\n@hookimpl\ndef prism_loaders():\n    yield 'a string'",
            "str",
        ),
        ("from prism_core.plugin import hookimpl\n@hookimpl\nasync def prism_loaders(): ...", "async def"),
        (
            "from prism_core.plugin import hookimpl\n@hookimpl\nasync def prism_loaders():\n    yield 1",
            "async def",
        ),
        ("def prism_inspect_artifact(artifact, loader): ...", "@hookimpl"),
    ],
)
def test_a_broken_plugin_is_reported_and_skipped(install, code, why):
    install("broken", code)
    install("toy", loader("toy"))

    plugins = load_plugins(built_in=())

    assert why in plugins.failures["broken"].message
    assert plugins.failures["broken"].hint
    assert "broken" not in plugins.plugins
    assert "toy" in plugins.loaders


def test_a_broken_plugin_that_was_named_stops_the_start(install):
    install("broken", "raise ValueError('out of order')")

    with pytest.raises(PluginLoadError, match="out of order"):
        load_plugins(("broken",), built_in=())


def test_a_plugin_that_fails_late_leaves_no_trace(install):
    install(
        "late",
        """
        from prism_core.plugin import Loader, Normalizer, hookimpl

        @hookimpl
        def prism_loaders():
            yield Loader("late", (), lambda artifact: 1.0, load=None)

        @hookimpl
        def prism_normalizers():
            raise ValueError("not today")

        @hookimpl
        def prism_runtime_startup(model, version, threads):
            raise AssertionError("called all the same")
        """,
    )

    plugins = load_plugins(built_in=())

    assert "late" in plugins.failures
    assert "late" not in plugins.loaders
    plugins.hooks.prism_runtime_startup(model="churn", version=1, threads=1)


def test_only_named_plugins_are_loaded(install):
    install("toy", loader("toy"))
    install("other", loader("other"))

    assert set(load_plugins(("other",), built_in=()).plugins) == {"other"}
    assert not load_plugins((), built_in=()).plugins


def test_a_misspelt_name_gets_a_suggestion(install):
    install("lookuptable", loader("toy"))

    with pytest.raises(UnknownPlugin) as caught:
        load_plugins(("lookuptabel",), built_in=())

    assert caught.value.hint == "Did you mean 'lookuptable'?"


def test_a_built_in_may_be_named_like_any_other():
    assert set(load_plugins(("inputs",)).plugins) == set(BUILT_IN)


def test_two_plugins_with_one_loader_name_are_a_conflict(install):
    install("one", loader("toy"))
    install("two", loader("toy"))

    failures = load_plugins(built_in=()).failures
    with pytest.raises(PluginConflict, match="both offer 'toy'"):
        load_plugins(("one", "two"), built_in=())

    assert len(failures) == 1
    assert isinstance(next(iter(failures.values())), PluginConflict)


def test_a_reference_is_loaded_without_a_scan(install):
    module = install("toy", loader("toy"))

    plugins = load_plugins((f"any={module}",), built_in=())

    assert plugins.owner("prism_loaders", "toy") == "any"


def test_a_runtime_gets_its_loader_and_who_helps_inside(install):
    install("toy", loader("toy"))
    install("other", loader("other"))
    install(
        "setup",
        """
        from prism_core.plugin import hookimpl

        @hookimpl
        def prism_runtime_startup(model, version, threads): ...
        """,
    )

    plugins = load_plugins()

    assert {r.partition("=")[0] for r in plugins.runtime_plugins("toy")} >= {"toy", "setup"}
    assert "other" not in {r.partition("=")[0] for r in plugins.runtime_plugins("toy")}
    assert not {r.partition("=")[0] for r in plugins.runtime_plugins("toy")} & set(BUILT_IN)


def test_only_what_is_of_use_is_collected(install):
    """Whatever else a plugin offers may import what this process does without."""
    install("toy", loader("toy") + FACE)

    some = load_plugins(["toy"], built_in=(), hooks=("prism_loaders",))

    assert (set(some.loaders), set(some.frontends)) == ({"toy"}, set())
    with pytest.raises(PluginLoadError, match="no_such_module"):
        load_plugins(["toy"], built_in=())


def test_the_loader_that_is_surest_is_chosen(install, artifact):
    install("vague", loader("vague", score=0.2))
    install("sure", loader("sure", score=0.9))
    plugins = load_plugins(("vague", "sure"), built_in=())

    assert plugins.choose_loader(artifact).name == "sure"
    assert plugins.choose_loader(artifact, "vague").name == "vague"


def test_an_artifact_that_nobody_knows_is_refused_with_what_is_known(install, artifact):
    install("toy", loader("toy", score=0.0))

    with pytest.raises(UnknownFormat, match=r"'churn.toy'.*\.toy"):
        load_plugins(("toy",), built_in=()).choose_loader(artifact)
    with pytest.raises(UnknownFormat, match="nothing"):
        load_plugins((), built_in=()).choose_loader(artifact)


def test_an_unknown_name_lists_the_known():
    with pytest.raises(UnknownPlugin, match="known: lan, tunnel"):
        find({"tunnel": 1, "lan": 2}, "zzz", "link")


def test_every_hook_is_named():
    assert "prism_loaders" in hookspecs.hook_names()
    assert all(callable(getattr(hookspecs, name)) for name in hookspecs.hook_names())
