"""What is installed beside the server and holds what an owner trusts: it goes along into an environment.

Who trusts names of a package says by it that the model needs the package. One that came from an index is
asked for as it is here; one that did not, a checkout or a wheel, is packed as PRISM itself is.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, distribution, distributions, packages_distributions
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.utils import canonicalize_name

from prism_core.environment import Requirement


def asked_by_trust(trust: Iterable[str], known: Iterable[str]) -> Iterator[Requirement]:
    """Yield requirements on what came from an index and holds trusted names.

    Parameters
    ----------
    trust
        Names that the owner trusts, ``module:name``.
    known
        Distributions that are asked for already: what a model says of them goes before what is here.
    """
    modules = _modules(trust)
    found = packages_distributions() if modules else {}
    known = {canonicalize_name(name) for name in known}
    for module in modules:
        for one in map(distribution, found.get(module, ())):
            name = canonicalize_name(one.metadata["Name"])
            if name not in known and _source(one) is None:
                yield Requirement(name, f"=={one.version}", f"its owner trusts names of {module}")
                known.add(name)


def packed_by_trust(trust: Iterable[str]) -> list[str]:
    """Return the distributions that came from no index and hold trusted names."""
    wanted = {module: origin for module in _modules(trust) if (origin := _origin(module))}
    local = (
        [(one, source) for one in distributions() if (source := _source(one)) is not None] if wanted else []
    )
    held = set()
    for module, origin in wanted.items():
        # A checkout may lie in another one: the innermost holds it.
        holding = [(len(source), one) for one, source in local if _holds(one, source, module, origin)]
        if holding:
            held.add(canonicalize_name(max(holding, key=lambda pair: pair[0])[1].metadata["Name"]))
    return sorted(held)


def _modules(trust: Iterable[str]) -> list[str]:
    tops = {re.split(r"[.:]", name, maxsplit=1)[0] for name in trust}
    return sorted(tops.difference(sys.stdlib_module_names, sys.builtin_module_names, ("__main__", "")))


def _source(one: Distribution) -> str | None:
    """Return where a distribution was installed from, "" if that is no directory; None for an index."""
    text = one.read_text("direct_url.json")
    if text is None:
        return None
    try:
        said = json.loads(text)
        address = urlsplit(said["url"])
        return unquote(address.path) if "dir_info" in said and address.scheme == "file" else ""
    except (ValueError, KeyError, TypeError, AttributeError):  # somebody's own installer
        return ""


def _origin(module: str) -> Path | None:
    """Return the file of a module that is installed here, without importing it."""
    try:
        spec = find_spec(module)
    except (ImportError, ValueError, AttributeError):
        return None
    places = [spec.origin, *(spec.submodule_search_locations or ())] if spec else []
    return next((Path(place).resolve() for place in places if place and Path(place).exists()), None)


def _holds(one: Distribution, source: str, module: str, origin: Path) -> bool:
    """Tell whether a distribution has a module: among its files, or in its checkout."""
    tops = {file.parts[0] for file in one.files or ()}
    if not tops.isdisjoint((module, f"{module}.py")):
        return True
    # What is installed into an environment that lies in a checkout is none of its own.
    installed = any(part in ("site-packages", "dist-packages") for part in origin.parts)
    return bool(source) and not installed and origin.is_relative_to(Path(source).resolve())
