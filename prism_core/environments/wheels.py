"""Make wheels of what is installed here: PRISM's own distributions and its plugins.

An environment runs the very code that this server runs, which may be in no index: a checkout, or
somebody's own plugin. The same code makes the same bytes, so a wheel lies under its digest.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

import attrs
from packaging.tags import sys_tags
from packaging.utils import canonicalize_name

from prism_core.errors import EnvironmentFailed

# What an installer writes about the installation, not about the distribution.
_OF_THE_INSTALLATION = (
    "RECORD",
    "INSTALLER",
    "REQUESTED",
    "direct_url.json",
    "uv_build.json",
    "uv_cache.json",
)
_WHEEL = "Wheel-Version: 1.0\nGenerator: prism-core\nRoot-Is-Purelib: {pure}\nTag: {tag}\n"
# The earliest that a zip can say: equal content must be equal bytes.
_EPOCH = (1980, 1, 1, 0, 0, 0)

Contents = Mapping[str, bytes]


@attrs.frozen
class Wheel:
    """A wheel that was made here. ``digest`` is the SHA-256 of its bytes."""

    name: str
    version: str
    path: Path
    digest: str


def installed(name: str) -> Distribution:
    """Return an installed distribution.

    Raises
    ------
    EnvironmentFailed
        If there is none of that name.
    """
    try:
        return distribution(name)
    except PackageNotFoundError:
        raise EnvironmentFailed(
            f"The distribution {name!r} is not installed here, so no environment can be given it.",
            hint="Install it into the server's environment, for instance with `pip install`.",
        ) from None


def is_installed(name: str) -> bool:
    """Tell whether there is a distribution of that name."""
    try:
        return bool(name and distribution(name))
    except (PackageNotFoundError, ValueError):
        return False


def repack(found: Distribution, directory: Path) -> Wheel:
    """Make a wheel of an installed distribution below ``directory``, unless the same one is there.

    What it has outside of the packages' directory (programs, shared data) is left out.

    Raises
    ------
    EnvironmentFailed
        If its code cannot be found.
    """
    name = canonicalize_name(found.metadata["Name"])
    files = dict(sorted(_contents(found, name).items()))
    tag = "py3-none-any" if _is_pure(files) else str(next(sys_tags()))
    stem = f"{name.replace('-', '_')}-{found.version}"
    files |= _dist_info(found, f"{stem}.dist-info", tag)
    data = _zipped(files, f"{stem}.dist-info/RECORD")
    digest = hashlib.sha256(data).hexdigest()
    path = directory / digest[:16] / f"{stem}-{tag}.whl"
    if not (path.is_file() and path.stat().st_size == len(data)):
        _put(path, data)
    return Wheel(name, found.version, path, digest)


def _put(path: Path, data: bytes) -> None:
    """Write a wheel in one step: one that is there is whole."""
    directory = path.parent.parent
    directory.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".new-", dir=directory))
    try:
        (scratch / path.name).write_bytes(data)
        path.parent.mkdir(exist_ok=True)
        os.replace(scratch / path.name, path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _zipped(files: Contents, record: str) -> bytes:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    for name, content in files.items():
        hashed = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        writer.writerow((name, f"sha256={hashed}", len(content)))
    writer.writerow((record, "", ""))
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as opened:  # another zlib compresses otherwise
        for name, content in (*files.items(), (record, table.getvalue().encode())):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system, entry.external_attr = 3, 0o100644 << 16
            opened.writestr(entry, content)
    return archive.getvalue()


# --- what is in it ----------------------------------------------------------------------


def _contents(found: Distribution, name: str) -> dict[str, bytes]:
    """Return a distribution's code: archive name -> bytes."""
    if found.files is None or is_editable(found):
        return {
            path: content for module in _modules(found, name) for path, content in _from_source(module, name)
        }
    inside = [file for file in found.files if ".." not in file.parts and not file.is_absolute()]
    code = [file for file in inside if not file.parts[0].endswith(".dist-info") and _is_source(Path(file))]
    return {file.as_posix(): Path(str(file.locate())).read_bytes() for file in code}


def is_editable(found: Distribution) -> bool:
    """Tell whether a distribution's code lies in a checkout."""
    said = json.loads(found.read_text("direct_url.json") or "{}")
    return bool(said.get("dir_info", {}).get("editable"))


def _modules(found: Distribution, name: str) -> list[str]:
    """Return the modules of a distribution whose list of files does not name them."""
    said = (found.read_text("top_level.txt") or "").split()
    entered = [point.module for point in found.entry_points]
    known = dict.fromkeys([*said, *entered, name.replace("-", "_")])
    modules = [module for module in known if _found(module)]
    return [m for m in modules if not any(m.startswith(f"{other}.") for other in modules)]


def _found(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ImportError:
        return False


def _from_source(module: str, name: str) -> Iterator[tuple[str, bytes]]:
    """Yield the files of the first regular package, or the module, on the way to a dotted name."""
    parts = module.split(".")
    for length in range(1, len(parts) + 1):
        spec = find_spec(".".join(parts[:length]))
        if spec is not None and spec.origin is not None:  # a namespace has none: others have a part in it
            yield from _files(Path(spec.origin), "/".join(parts[:length]))
            return
    raise EnvironmentFailed(
        f"The code of the distribution {name!r} cannot be found: {module!r} is no regular package.",
        hint="Install it as a wheel: `pip install` without -e.",
    )


def _files(origin: Path, target: str) -> Iterator[tuple[str, bytes]]:
    if not origin.name.startswith("__init__."):
        yield f"{target}{''.join(origin.suffixes)}", origin.read_bytes()
        return
    for path in origin.parent.rglob("*"):
        if path.is_file() and _is_source(path.relative_to(origin.parent)):
            yield f"{target}/{path.relative_to(origin.parent).as_posix()}", path.read_bytes()


def _is_source(path: Path) -> bool:
    return "__pycache__" not in path.parts and path.suffix not in (".pyc", ".pth")


def _is_pure(files: Contents) -> bool:
    return not any(name.endswith(tuple(EXTENSION_SUFFIXES)) for name in files)


def _dist_info(found: Distribution, directory: str, tag: str) -> dict[str, bytes]:
    metadata = found.read_text("METADATA") or found.read_text("PKG-INFO") or ""
    texts = {"METADATA": metadata, "WHEEL": _WHEEL.format(pure=str(tag.endswith("any")).lower(), tag=tag)}
    texts["entry_points.txt"] = found.read_text("entry_points.txt") or ""
    files = {f"{directory}/{name}": text.encode() for name, text in texts.items() if text}
    for file in found.files or ():
        top = file.parts[0]
        inner = f"{directory}/{'/'.join(file.parts[1:])}"
        if top.endswith(".dist-info") and file.name not in _OF_THE_INSTALLATION and inner not in files:
            files[inner] = Path(str(file.locate())).read_bytes()
    return dict(sorted(files.items()))
