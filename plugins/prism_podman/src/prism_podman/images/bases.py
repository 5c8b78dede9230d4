"""What an image begins with: the base of the settings, one that was made here, or Python's official one."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Iterable
from typing import Any

import attrs

from prism_core.plugin import Environment, EnvironmentFailed
from prism_podman.host.interpreter import ARGUMENTS, interpreter_of, minor_of
from prism_podman.images import store
from prism_podman.images.containerfile import KIND, LIBC, ORIGIN, OWNER, PYTHON, PYTHON_VERSION
from prism_podman.images.oci import Beneath
from prism_podman.images.reowning import reowned
from prism_podman.images.selection import Package
from prism_podman.images.store import Stored, Tell

OFFICIAL = "docker.io/library/python:{minor}-slim"
# The one made here last, however it was made; `prism podman base` names it so.
LOCAL = "localhost/prism-base:{minor}"
PROBE_S = 60
# PEP 600: what the older names of platforms stand for.
LEGACY = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}


@attrs.frozen
class Base:
    """An image to begin with, and the Python in it.

    ``python`` is the interpreter's path there, ``libc`` is ``glibc-2.36``.
    """

    name: str
    id: str
    python: str
    python_version: str
    libc: str
    beneath: Beneath


def find(client: Any, configured: str, environment: Environment, owner: int, tell: Tell) -> Base:
    """Return the base of an environment's image; one that has to be fetched is fetched.

    ``owner`` is to whom its files are to belong.

    Raises
    ------
    EnvironmentFailed
        If there is none, or it does not fit.
    """
    minor = minor_of(environment.python_version)
    name, stored = _stored(client, configured, environment, tell)
    base = described(client, name, stored, owner)
    if minor_of(base.python_version) != minor:
        raise EnvironmentFailed(
            f"The base image {base.name} has Python {base.python_version}; the environment "
            f"{environment.key!r} needs {minor}.",
            hint="Set `plugins.podman.base_image` to one that has it, or to nothing.",
        )
    if owned(stored, owner) or base.id != stored.id:
        return base
    tell(f"Copying {name}, so that containers of all models can share it")
    adopt(client, base, stored, owner)
    return described(client, name, stored, owner)


def present(client: Any, configured: str, python_version: str, owner: int) -> Stored | None:
    """Return the image that `find` would begin with, None if it would have to be made."""
    found = _present(client, configured, minor_of(python_version))
    if found is None or owned(found[1], owner):
        return found and found[1]
    return store.inspect(client, _adopted_name(found[1], owner))


def _present(client: Any, configured: str, minor: str) -> tuple[str, Stored] | None:
    for name in [configured] if configured else [one.format(minor=minor) for one in (LOCAL, OFFICIAL)]:
        found = store.inspect(client, name)
        if found:
            return name, found
    return None


def _stored(client: Any, configured: str, environment: Environment, tell: Tell) -> tuple[str, Stored]:
    minor = minor_of(environment.python_version)
    there = _present(client, configured, minor)
    if there:
        return there
    name = configured or OFFICIAL.format(minor=minor)
    tell(f"Fetching {name}")
    try:
        store.pull(client, name, lambda line: tell(f"Fetching {name}: {line}"))
    except EnvironmentFailed as error:
        raise EnvironmentFailed(
            f"There is no base image for Python {minor}: {name} is not here and cannot be fetched "
            f"({error.message.rpartition(': ')[2]}).",
            hint=_how_to_get(environment),
        ) from error
    return name, store.expected(client, name)


def _how_to_get(environment: Environment) -> str:
    minor = minor_of(environment.python_version)
    own = minor == minor_of(platform.python_version())
    which = "" if own else f" --python {environment.python}"
    return (
        f"Make one of this machine's Python {minor}, without a network: "
        f"`prism podman base --from-host{which}`. Or name another in `plugins.podman.base_image`."
    )


# --- what is in it --------------------------------------------------------------------------


def described(client: Any, name: str, stored: Stored, owner: int = 0) -> Base:
    """Return what is known of a base: by its labels where PRISM made it, else by asking its Python.

    Where a copy of it has been made for ``owner`` it is that.
    """
    if not owned(stored, owner):
        stored = store.inspect(client, _adopted_name(stored, owner)) or stored
    labels = stored.labels
    if PYTHON in labels:
        return Base(name, stored.id, labels[PYTHON], labels[PYTHON_VERSION], labels[LIBC], stored.beneath)
    found = interpreter_of(asked(client, name, stored.id))
    return Base(name, stored.id, str(found.executable), found.version, found.libc, stored.beneath)


def asked(client: Any, name: str, image: str) -> str:
    """Return what the Python of an image says of itself, in a container that can do nothing else."""
    with store.told("asking the Python of", name):
        container = client.containers.create(
            image,
            list(ARGUMENTS),
            entrypoint=["python3"],
            network_mode="none",
            read_only=True,
            cap_drop=["ALL"],
            no_new_privileges=True,
            log_config={"Type": "json-file"},
            ulimits=[
                {"Name": "nofile", "Soft": 1024, "Hard": 1024},
                {"Name": "nproc", "Soft": 64, "Hard": 64},
            ],
        )
        try:
            container.start()
            code = container.wait(condition=["stopped", "exited"], interval="20ms")
            said = b"".join(container.logs()).decode(errors="replace").strip()
        finally:
            container.remove(force=True, v=True)
    lines = said.splitlines() or [""]
    if code or not _is_answer(lines[-1]):
        raise EnvironmentFailed(
            f"The base image {name} has no Python that works: {lines[-1]}",
            hint="`plugins.podman.base_image` takes an image with `python3` on its PATH.",
        )
    return lines[-1]


def _is_answer(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


# --- whose it is ----------------------------------------------------------------------------


def owned(stored: Stored, owner: int) -> bool:
    """Tell whether a base's files belong to ``owner``, as those of others' images do not; 0 is anybody."""
    return owner == 0 or stored.labels.get(OWNER) == str(owner)


def adopt(client: Any, base: Base, stored: Stored, owner: int) -> None:
    """Make a copy of a base whose files belong to ``owner``."""
    name = _adopted_name(stored, owner)
    raw = f"{name}-raw"
    store.import_root(client, raw, reowned(store.export(client, stored.id), owner), [])
    layers = store.expected(client, raw).beneath.layers
    labels = {
        KIND: "base",
        ORIGIN: base.name,
        OWNER: str(owner),
        PYTHON: base.python,
        PYTHON_VERSION: base.python_version,
        LIBC: base.libc,
    }
    store.relabelled(client, name, attrs.evolve(stored.beneath, layers=layers), {}, labels)
    store.untag(client, raw)


def _adopted_name(stored: Stored, owner: int) -> str:
    return f"localhost/prism-base:{stored.id[:12]}-{owner}"


# --- does it fit ----------------------------------------------------------------------------


def check_libc(base: Base, packages: Iterable[Package], built_on: str) -> None:
    """Raise `EnvironmentFailed` if a package was compiled for a newer C library than the base has.

    ``built_on`` is the C library of the machine whose packages they are: what a wheel that was made
    here (``linux_x86_64``) may need.
    """
    has = libc_version(base.libc)
    for package in packages:
        needs = needed_libc(package.platforms, built_on)
        if needs and (has is None or has < needs):
            wanted = ".".join(map(str, needs))
            raise EnvironmentFailed(
                f"{package.name} {package.version} is compiled for glibc {wanted} or newer; the base image "
                f"{base.name} has {base.libc}.",
                hint="Choose a newer base in `plugins.podman.base_image`, or make one: `prism podman base`.",
            )


def libc_version(libc: str) -> tuple[int, int] | None:
    """Return the version of ``glibc-2.36``, None for another library."""
    match = re.fullmatch(r"glibc-(\d+)\.(\d+).*", libc)
    return (int(match[1]), int(match[2])) if match else None


def needed_libc(platforms: Iterable[str], built_on: str) -> tuple[int, int] | None:
    """Return the oldest glibc on which a package works, by its wheel's tags; None for any."""
    found = [version for one in platforms if (version := _libc_of(one, built_on))]
    return min(found, default=None)


def _libc_of(platform: str, built_on: str) -> tuple[int, int] | None:
    if match := re.match(r"manylinux_(\d+)_(\d+)_", platform):
        return int(match[1]), int(match[2])
    if platform.startswith("linux_"):
        return libc_version(built_on)
    return LEGACY.get(platform.partition("_")[0])
