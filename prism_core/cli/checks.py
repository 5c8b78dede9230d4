"""The checks of ``prism doctor``: each looks at one thing and changes nothing."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from prism_core.cli.client import running_server
from prism_core.errors import PrismError
from prism_core.sizes import format_bytes

if TYPE_CHECKING:
    from prism_core.plugins import PluginSet

# Program -> what it is for.
PROGRAMS = {
    "podman": "models in containers",
    "bwrap": "models in a sandbox without containers",
    "notify-send": "notices that links have another address (links.notify)",
}
# Module -> its package, and what it is for.
PACKAGES = {
    "PIL": ("pillow", "images as input"),
    "cryptography": ("cryptography", "a certificate of its own: prism serve --tls self-signed"),
    "uvloop": ("uvloop", "a faster event loop"),
    "zeroconf": ("zeroconf", "a name in the local network, prism.local (plugins.lan.mdns)"),
    "pandas": ("pandas", "scikit-learn pipelines over named columns"),
}
# What serving is impossible without, beside what the command line itself has imported already.
REQUIRED = ("litestar", "uvicorn", "httpx", "structlog", "msgspec", "orjson", "numpy", "psutil")
# A data directory with less free space than this will soon fail uploads.
LOW_DISK_BYTES = 1 << 30


class State(StrEnum):
    """FATAL: nothing can be served; PROBLEM: something is broken; MISSING: an option is not there."""

    OK = "ok"
    MISSING = "missing"
    PROBLEM = "problem"
    FATAL = "fatal"


@attrs.frozen
class Check:
    """What one look found."""

    group: str
    name: str
    state: State
    detail: str
    hint: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return attrs.asdict(self)


def all_checks(data_dir: Path) -> Iterator[Check]:
    """Look at everything that serving depends on."""
    yield from machine()
    yield from required()
    try:
        from prism_core.plugins import load_plugins

        plugins = load_plugins()
    except (PrismError, ImportError) as error:
        yield Check("plugins", "all", State.FATAL, str(error), getattr(error, "hint", ""))
    else:
        yield from plugin_checks(plugins)
        yield from extension_checks(plugins)
    yield from programs()
    yield from packages()
    yield from server(data_dir)


def machine() -> Iterator[Check]:
    """Tell Python, processors and memory."""
    import psutil

    python = f"{platform.python_version()} at {sys.executable}"
    yield Check("machine", "python", State.OK, python)
    memory = psutil.virtual_memory()
    yield Check("machine", "processors", State.OK, f"{os.cpu_count()}")
    sizes = f"{format_bytes(memory.total)}, {format_bytes(memory.available)} available"
    yield Check("machine", "memory", State.OK, sizes)
    yield gateways()


def gateways() -> Check:
    """Tell how several gateways would share the public port."""
    if sys.platform == "win32":
        return Check("machine", "gateways", State.MISSING, "One only: Windows passes on no listening socket.")
    spread = "the kernel spreads connections" if sys.platform == "linux" else "the quickest accepts"
    return Check("machine", "gateways", State.OK, f"--gateways N: several share a port, {spread}")


def required() -> Iterator[Check]:
    """Look for the packages of the extra ``server``."""
    missing = [name for name in REQUIRED if importlib.util.find_spec(name) is None]
    if missing:
        hint = "pip install 'prism-core[server]'"
        yield Check("machine", "packages", State.FATAL, f"Not installed: {', '.join(missing)}.", hint)


def plugin_checks(plugins: PluginSet) -> Iterator[Check]:
    """Look at each installed plugin, and that there is one that loads models."""
    for plugin in plugins.plugins.values():
        offers = ", ".join(name for hook, names in plugin.offers.items() for name in names if name != hook)
        yield Check("plugins", plugin.name, State.OK, f"{plugin.version}: {offers or 'hooks'}")
    for name, error in plugins.failures.items():
        yield Check("plugins", name, State.PROBLEM, error.message, error.hint)
    if not plugins.loaders:
        hint = "Install one, for instance `pip install prism-sklearn` or `pip install prism-onnx`."
        yield Check("plugins", "loaders", State.FATAL, "No plugin loads models.", hint)
    for loader in plugins.loaders.values():
        missing = [
            name for name in loader.requires if importlib.util.find_spec(name.partition(".")[0]) is None
        ]
        if missing:
            detail = f"The loader needs {', '.join(missing)}, which cannot be imported."
            yield Check("plugins", loader.name, State.PROBLEM, detail, f"pip install {missing[0]}")


def extension_checks(plugins: PluginSet) -> Iterator[Check]:
    """Ask isolation backends, caches, links, faces and media types whether they can work here."""
    groups = {
        "isolation": plugins.isolation_backends,
        "caches": plugins.caches,
        "links": plugins.link_providers,
        "faces": plugins.frontends,
        "media types": plugins.normalizers,
    }
    for group, records in groups.items():
        found = {name: _unavailable(record) for name, record in records.items()}
        for name, reason in found.items():
            if reason:
                yield Check(group, name, State.MISSING, reason)
            elif group != "media types":
                yield Check(group, name, State.OK, _about(records[name]) or "available")
        if group == "isolation":
            yield from _start_method(plugins)
        if group == "isolation" and all(found.values()):
            yield Check(group, "any", State.FATAL, "No isolation backend works here, so no model can run.")


def _start_method(plugins: PluginSet) -> Iterator[Check]:
    """Tell how fast the backend ``process`` starts a model here."""
    process = plugins.plugins.get("process")
    if process is None:
        return
    yield _sandbox(process.module)
    method, reason = process.module.start_method()
    detail = "models start in milliseconds, forked from a warm process" if method == "zygote" else reason
    yield Check("isolation", f"process: {method}", State.OK, detail)


def _sandbox(process: Any) -> Check:
    """Tell how strictly the backend ``process`` can shut a model in here, tried just now."""
    found = process.abilities()
    level = found.strongest
    name = f"process: sandbox {level}"
    if not found.namespaces:
        return Check("isolation", name, State.OK, "a model sees its own files, and no network or process")
    if not found.landlock:
        detail = "a model opens its own files only, and no socket or process"
        return Check("isolation", name, State.OK, detail, f"Stronger with namespaces: {found.namespaces}.")
    detail = f"models can read your files and use the network: {found.landlock}"
    return Check("isolation", name, State.PROBLEM, detail, f"{found.namespaces}.")


def _unavailable(record: Any) -> str:
    try:
        return str(record.available())
    except Exception as error:  # a check of a plugin may fail, the report must not
        return f"Its own check failed: {type(error).__name__}: {error}"


def _about(record: Any) -> str:
    """Return what an extension tells of itself beside that it is available; only ways of links do."""
    try:
        return str(getattr(record, "about", str)())
    except Exception as error:
        return f"available; {type(error).__name__} when asked what it is: {error}"


def programs() -> Iterator[Check]:
    """Look for programs that plugins make use of."""
    # The virtual environment's own programs count, whether or not it is activated.
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    for name, use in PROGRAMS.items():
        path = shutil.which(name, path=places)
        hint = "" if path else f"Install {name} if you want that."
        state = State.OK if path else State.MISSING
        yield Check("programs", name, state, f"{use}: {path or 'not on the PATH'}", hint)
    yield uv()


def uv() -> Check:
    """Look for what builds environments, where a server looks for it."""
    from prism_core.environments.uv import find_uv

    use = "environments of models with packages of their own"
    try:
        return Check("programs", "uv", State.OK, f"{use}: {find_uv()}")
    except PrismError as error:
        return Check("programs", "uv", State.MISSING, f"{use}: not installed", error.hint)


def packages() -> Iterator[Check]:
    """Look for Python packages that make more possible."""
    for module, (package, use) in PACKAGES.items():
        there = importlib.util.find_spec(module) is not None
        hint = "" if there else f"pip install {package}"
        yield Check("packages", package, State.OK if there else State.MISSING, use, hint)


def server(data_dir: Path) -> Iterator[Check]:
    """Look at the data directory, its server, and the default ports."""
    yield data_directory(data_dir)
    facts = running_server(data_dir)
    if facts:
        count = facts.get("gateways", 1)
        several = f", {count} gateways" if count > 1 else ""
        grpc = f", {facts['grpc']}" if "grpc" in facts else ""
        yield Check("server", "running", State.OK, f"pid {facts['pid']}, {facts['public']}{several}{grpc}")
        return
    yield Check("server", "running", State.OK, "no; `prism serve` starts one")
    from prism_core.settings import Settings

    for host, port in ((Settings().host, Settings().port), ("127.0.0.1", Settings().admin_port)):
        free = _is_free(host, port)
        hint = (
            "" if free else "Another program has it: choose one with --port or --admin-port; 0 is a free one."
        )
        yield Check(
            "server", f"port {port}", State.OK if free else State.PROBLEM, "free" if free else "taken", hint
        )


def data_directory(data_dir: Path) -> Check:
    """Tell whether a server could write there."""
    there = next(path for path in (data_dir, *data_dir.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            free = shutil.disk_usage(there).free
    except OSError as error:
        hint = "Choose another with --data-dir."
        return Check("server", "data directory", State.FATAL, f"{data_dir}: {error.strerror}", hint)
    detail = f"{data_dir}, {format_bytes(free)} free"
    if free < LOW_DISK_BYTES:
        return Check(
            "server", "data directory", State.PROBLEM, detail, "Free some space, or choose another disk."
        )
    return Check("server", "data directory", State.OK, detail)


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
