"""Environments of conda, as its files write them down: names and versions turned into those of PyPI."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from prism_core.environments.lines import Lines, Stated
from prism_core.environments.needs import parsed_requirement
from prism_core.errors import ConfigError

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# In Python alone, where yaml's extension is missing, these take a second.
LARGEST_YAML = 200_000

# Where conda's name differs from PyPI's.
_NAMES = {
    "faiss": "faiss-cpu",
    "importlib_metadata": "importlib-metadata",
    "matplotlib-base": "matplotlib",
    "msgpack-python": "msgpack",
    "numpy-base": "numpy",
    "opencv": "opencv-python-headless",
    "py-lightgbm": "lightgbm",
    "py-opencv": "opencv-python-headless",
    "py-xgboost": "xgboost",
    "py-xgboost-cpu": "xgboost",
    "py-xgboost-gpu": "xgboost",
    "pyqt": "pyqt5",
    "pytables": "tables",
    "python-graphviz": "graphviz",
    "pytorch": "torch",
    "pytorch-cpu": "torch",
    "pytorch-gpu": "torch",
    "tensorflow-base": "tensorflow",
}
# In every environment of conda's, and in none of ours.
_INSTALLERS = ("pip", "setuptools", "wheel")
# What conda installs that is no distribution of Python, or comes with every environment. On PyPI some of
# these names are other people's packages: a library of C must not become one of them.
_OF_THE_SYSTEM = re.compile(
    r"_.*|lib(?!rosa$|cst$|pysal$|tmux$|sass$).*|python_abi|tzdata|.*_(linux|osx|win)-.*"
    r"|(aws|font|fonts|gst|gtk|qt|qt6|r|xcb|xorg|cuda|mysql|xz|krb5|brotli|rdma)-.*|ca-certificates|llvm-openmp"
    r"|alsa-lib|aom|atk.*|attr|binutils|blas|bzip2|c-ares|cairo|clang|cmake|cudatoolkit|cudnn|dav1d|dbus|expat"
    r"|ffmpeg|flac|fmt|fontconfig|freetype|fribidi|gcc|gdk-pixbuf|geos|gettext|gflags|giflib|git|glew|glib.*|glog"
    r"|gmp|gnutls|graphite2|graphviz|gsl|gxx|harfbuzz|hdf5|icu|imath|intel-openmp|jasper|jpeg|keyutils|krb5|lame"
    r"|lcms2|lerc|lz4-c|magma|make|mkl|mpc|mpfr|mpg123|mpi|nccl|ncurses|nettle|ninja|nlohmann_json|nodejs|nomkl"
    r"|nspr|nss|openblas|openexr|openh264|openjpeg|openjdk|openmpi|openssl|orc|p11-kit|pandoc|pango|pcre2?|perl"
    r"|pixman|pkg-config|proj|pthread-stubs|re2|readline|ruby|s2n|sleef|snappy|spdlog|sqlite|svt-av1|tbb|tk|ucx"
    r"|x264|x265|xkeyboard-config|xz|yaml|zeromq|zlib|zlib-ng|zstd"
)
_SPEC = re.compile(
    r"(?:[\w./-]+::)?(?P<name>[A-Za-z0-9_][\w.-]*)\s*(?:\[(?P<keys>[^\]]*)\])?\s*(?P<rest>[^\[\]]*)"
)
_VERSION_KEY = re.compile(r"version\s*=\s*(['\"]?)(?P<version>[^'\"]+)\1")


def stated_by_conda(text: str, path: Path, lines: Lines | None = None) -> Stated:
    """Return what an ``environment.yml`` or ``conda.yaml`` asks for.

    Parameters
    ----------
    lines
        Reads the section ``pip``; one that is tolerant notes what cannot be taken.

    Raises
    ------
    ConfigError
        If it is no such file, or asks for what no package index has.
    """
    pip = lines or Lines()
    requirements, python, notes = [], "", dict[str, None]()
    for entry in _entries(parsed_yaml(text, path), path):
        if isinstance(entry, str):
            name, version = _parsed(entry, notes)
            if name == "python":
                python = without_patch(version)
            elif name in _INSTALLERS:
                continue
            elif _OF_THE_SYSTEM.fullmatch(name):
                notes[f"Not of Python's index, left out: {name}."] = None
            else:
                requirements.append(_NAMES.get(name, name) + version)
        else:
            requirements += pip.of("\n".join(entry), path)
    for text in requirements:
        parsed_requirement(text)
    return Stated(tuple(requirements), python, (*_together(notes), *pip.notes))


def parsed_yaml(text: str, path: Path) -> Any:
    """Return what a small file of YAML says.

    Raises
    ------
    ConfigError
        If it is none, or large.
    """
    if len(text) > LARGEST_YAML:
        raise ConfigError(f"{path.name!r} has more than {LARGEST_YAML:,} characters.")
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, RecursionError, ValueError, TypeError, OverflowError) as error:
        told = str(error).split("\n", 1)[0]
        raise ConfigError(f"{path.name!r} is no YAML that can be read: {told}.") from None


def _entries(document: Any, path: Path) -> Iterator[str | list[str]]:
    """Yield conda's entries, and as a list the lines of ``pip``."""
    listed = document.get("dependencies") if isinstance(document, Mapping) else None
    if not isinstance(listed, list):
        raise ConfigError(
            f"{path.name!r} has no list of dependencies, so it is no environment of conda.",
            hint="Give a requirements.txt, a pyproject.toml or an environment.yml.",
        )
    for entry in listed:
        lines = entry.get("pip") if isinstance(entry, Mapping) and len(entry) == 1 else None
        if isinstance(entry, str):
            yield entry
        elif isinstance(lines, list) and all(isinstance(line, str) for line in lines):
            yield lines
        else:
            raise ConfigError(f"{path.name!r} lists a {type(entry).__name__} among its dependencies.")


def _parsed(entry: str, notes: dict[str, None]) -> tuple[str, str]:
    """Return the name and the versions of an entry, as PEP 440 writes them."""
    found = _SPEC.fullmatch(entry.strip())
    if found is None:
        raise ConfigError(f"{entry[:100]!r} is no dependency as conda writes it.")
    name, version = found["name"].lower(), found["rest"].strip()
    if keyed := _VERSION_KEY.search(found["keys"] or ""):
        version = keyed["version"]
    if "|" in version:
        notes[f"One of several versions, taken as any: {entry.strip()}."] = None
        return name, ""
    # Behind a blank or a second = stands the build.
    version = re.sub(r"(?<=[\w*.])\s+[^\s<>=!~,]+$", "", version)
    return name, ",".join(_specifiers(version.replace(" ", "").split(",")))


def _specifiers(parts: Iterable[str]) -> Iterator[str]:
    for part in filter(None, parts):
        found = re.fullmatch(r"(?P<operator>[<>=!~]*)(?P<version>[^=]+)(?:=.*)?", part)
        operator, version = (found["operator"], found["version"]) if found else ("", part)
        fuzzy = operator == "=" and not version.endswith("*") and version.count(".") < 2
        yield f"{'==' if operator in ('', '=') else operator}{version}{'.*' if fuzzy else ''}"


def without_patch(version: str) -> str:
    """Return the version of Python that a file pins, of ``==3.11.7`` 3.11: pickles do not ask for more."""
    found = re.fullmatch(r"(?:==)?(3\.[0-9]{1,2})(?:\.(?:[0-9]{1,2}|\*))?", version)
    return found[1] if found else version


def _together(notes: Mapping[str, None]) -> Iterator[str]:
    """Yield notes, one for all that begin alike."""
    grouped: dict[str, list[str]] = {}
    for note in notes:
        head, _, what = note.partition(": ")
        grouped.setdefault(head, []).append(what.rstrip("."))
    for head, several in grouped.items():
        yield f"{head}: {', '.join(several)}."
