"""What each process imports. A module set does not depend on the machine; milliseconds do."""

import json
import subprocess
import sys

import pytest

from prism_core.plugins import BUILT_IN, GROUP

WEB = {"litestar", "uvicorn", "starlette", "fastapi", "httpx"}
GATEWAY = {*WEB, "cattrs", "click", "prometheus_client", "rich", "rich_click", "structlog", "yaml"}
SERVER = ("prism_core.gateway", "prism_core.rest", "prism_core.cli")
FRAMEWORKS = {"PIL", "joblib", "onnx", "onnxruntime", "pandas", "scipy", "sklearn", "skops", "torch"}


def imported_by(code):
    """Return the top-level modules, and those of the core, that ``code`` imports in a new interpreter."""
    show = "import sys, json; print(json.dumps(list(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{show}"], capture_output=True, text=True, check=True
    )
    modules = json.loads(done.stdout.splitlines()[-1])
    return {name.partition(".")[0] for name in modules} | {m for m in modules if m.startswith("prism_core")}


def test_a_runtime_imports_no_web_framework_and_no_model_framework():
    loaded = imported_by(
        "import prism_core.runtime.main, prism_core.runtime.__main__\n"
        "from prism_core.plugins import load_plugins\n"
        "load_plugins((), built_in=('inputs',))"
    )

    assert not loaded & GATEWAY
    assert not loaded & FRAMEWORKS
    assert not any(name.startswith((*SERVER, "prism_core.runtime.optimizing")) for name in loaded)


def test_a_zygote_imports_no_gateway():
    loaded = imported_by("import prism_core.isolation.zygote, prism_core.isolation.child")

    assert not loaded & (GATEWAY | FRAMEWORKS)
    assert not any(name.startswith(SERVER) for name in loaded)


def test_the_public_module_imports_no_framework():
    loaded = imported_by("import prism_core.plugin")

    assert not loaded & (GATEWAY | FRAMEWORKS)


@pytest.mark.parametrize("plugin", ["prism_sklearn", "prism_onnx", "prism_lookup"])
def test_a_plugin_imports_no_framework(plugin):
    loaded = imported_by(f"import {plugin}; list({plugin}.prism_loaders())")

    assert not loaded & (GATEWAY | FRAMEWORKS)


def test_a_cache_plugin_imports_no_client():
    loaded = imported_by("import prism_redis_cache; list(prism_redis_cache.prism_caches())")

    assert not loaded & (GATEWAY | FRAMEWORKS | {"redis"})


def test_an_isolation_plugin_imports_no_client():
    loaded = imported_by(
        "import prism_podman; [b.available() for b in prism_podman.prism_isolation_backends()]"
    )

    assert not loaded & (GATEWAY | FRAMEWORKS | {"podman", "requests"})


def test_a_link_plugin_imports_no_client():
    loaded = imported_by("import prism_tunnel; [p.available() for p in prism_tunnel.prism_link_providers()]")

    assert not loaded & (GATEWAY | FRAMEWORKS | {"asyncssh"})


@pytest.mark.parametrize(
    "code",
    [
        "import prism_oip",
        "import prism_oip; list(prism_oip.prism_normalizers()), list(prism_oip.prism_dialects())",
        "import prism_oip.rpc.scan",
    ],
)
def test_a_protocol_plugin_imports_neither_grpc_nor_protobuf(code):
    """A model's environment may have another release of protobuf, or none."""
    loaded = imported_by(code)

    assert not loaded & (GATEWAY | FRAMEWORKS | {"google", "grpc"})


def test_a_runtime_has_no_faces_of_a_protocol():
    """It collects what it has a use for; the gateway all of it."""
    loads = "from prism_core.runtime.rehearsal import plugins_of; plugins_of(('oip=prism_oip',))"
    for code, faces in ((loads, False), ("from prism_core.plugins import *; load_plugins(['oip'])", True)):
        imported_by(f"{code}\nimport sys; assert ('prism_oip.rest.frontends' in sys.modules) is {faces}")


def test_the_gateway_imports_no_model_framework():
    loaded = imported_by(
        "from prism_core.plugins import load_plugins\nload_plugins()\n"
        "import prism_core.gateway.gateway, prism_core.rest.serve"
    )

    assert not loaded & FRAMEWORKS


def test_a_server_that_nobody_looks_at_imports_no_templates():
    loaded = imported_by("import prism_core.rest.serve")

    assert not loaded & {"jinja2", "markdown_it", "prism_core.rest.pages.rendering"}


def test_the_gateway_does_not_import_the_web_framework():
    assert not imported_by("import prism_core.gateway.gateway") & (WEB - {"httpx"})


def test_a_server_that_asks_for_no_tokens_does_not_import_what_verifies_them():
    assert "joserfc" not in imported_by("import prism_core.rest.serve, prism_core.rest.follow")


def run_cli(*arguments):
    return imported_by(
        f"import sys; sys.argv = ['prism', *{arguments!r}]\n"
        "import contextlib, io, prism_core.cli\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        "    prism_core.cli.main()"
    )


@pytest.mark.parametrize("arguments", [["upload", "--help"], ["version"]])
def test_a_command_stays_light(arguments):
    heavy = {"litestar", "uvicorn", "numpy", "structlog", "prometheus_client", *FRAMEWORKS}

    assert not run_cli(*arguments) & heavy


def test_the_list_of_commands_loads_plugins_but_no_server_and_no_framework():
    """Plugins may have commands too, and they import numpy with the public module."""
    assert not run_cli("--help") & {"litestar", "uvicorn", "structlog", "prometheus_client", *FRAMEWORKS}


def test_built_in_plugins_are_not_entry_points_of_their_own():
    """They are registered by the core, so a core without an installation (a zipped one) has them too."""
    from importlib.metadata import entry_points

    assert not {point.name for point in entry_points(group=GROUP)} & set(BUILT_IN)
