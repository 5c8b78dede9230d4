"""The names in a skops file: those of its ``schema.json``, held against the same list."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from typing import Any

from prism_core.plugin import Artifact, ArtifactError
from prism_sklearn.audit.admitted import Admitted, canonical
from prism_sklearn.audit.judging import Auditor
from prism_sklearn.audit.source import Refused
from prism_sklearn.audit.values import Kind

_SCHEMA = "schema.json"
# As an object it takes some ten times that; the arrays of a model are files of their own.
_SCHEMA_BYTES = 64 << 20

# What each kind of node makes: by calling the class that it names, or by `__new__`, or not at all.
_NODES: dict[str, tuple[str, ...]] = {
    "BytearrayNode": ("builtins.bytearray",),
    "BytesNode": ("builtins.bytes", "numpy.bytes_"),
    "ConstructorFromReduceNode": (
        "builtins.range", "builtins.complex", "datetime.date", "datetime.datetime", "datetime.time",
        "datetime.timedelta", "datetime.timezone", "decimal.Decimal", "pandas.Interval",
    ),
    "DTypeNode": ("numpy.dtype",),
    "DefaultDictNode": ("collections.defaultdict",),
    "DictNode": (
        "builtins.dict", "collections.Counter", "collections.OrderedDict", "sklearn.utils._bunch.Bunch",
    ),
    "JsonNode": ("builtins.str", "builtins.int", "builtins.float", "builtins.bool", "builtins.NoneType"),
    "ListNode": ("builtins.list",),
    "MaskedArrayNode": ("numpy.ma.MaskedArray", "numpy.ma.core.MaskedArray"),
    "PartialNode": ("functools.partial",),
    "RandomGeneratorNode": ("numpy.random._generator.Generator",),
    "RandomStateNode": ("numpy.random.mtrand.RandomState",),
    "SetNode": ("builtins.set", "builtins.frozenset"),
    "SliceNode": ("builtins.slice",),
    "TreeNode": ("sklearn.tree._tree.Tree",),
    "TupleNode": ("builtins.tuple", "sklearn.impute._iterative._ImputerTriplet"),
}  # fmt: skip
# Nodes that make something of whatever they name: only of names of this kind, below this path.
_KINDS: dict[str, tuple[tuple[Kind, ...], str]] = {
    "CachedNode": ((Kind.CLASS, Kind.CALLED, Kind.VALUE), ""),
    "FunctionNode": ((Kind.CLASS, Kind.CALLED, Kind.VALUE), ""),
    "LossNode": ((Kind.CALLED,), "sklearn."),
    "NdArrayNode": ((Kind.VALUE,), "numpy."),
    "ObjectNode": ((Kind.CLASS,), ""),
    "SparseMatrixNode": ((Kind.CLASS,), "scipy.sparse."),
    "TypeNode": ((Kind.CLASS, Kind.CALLED, Kind.VALUE), ""),
}


# Made by functions of their own in pickles, here by `__new__` as the others.
_EMPTIED = ("sklearn.metrics._dist_metrics.", "sklearn.neighbors._ball_tree.", "sklearn.neighbors._kd_tree.")


def names_of(artifact: Artifact, auditor: Auditor) -> Refused | None:
    """Judge every name of a skops file; return what no skops writes.

    Raises
    ------
    ArtifactTooLarge
        If it unpacks to more than the limits allow.
    """
    try:
        return _judge(nodes(artifact), auditor)
    except ArtifactError:
        raise
    except Exception as error:  # zipfile and json have a dozen for damaged files
        return Refused(0, f"it cannot be read: {type(error).__name__}: {error}", damaged=True)


def _check_sizes(artifact: Artifact, archive: zipfile.ZipFile) -> None:
    """Hold what the members say of their sizes against the limits; reading one gives no more than that."""
    size = artifact.path.stat().st_size
    artifact.limits.check_unpacked(size, sum(member.file_size for member in archive.infolist()))
    if archive.getinfo(_SCHEMA).file_size > _SCHEMA_BYTES:
        raise ValueError(f"its schema has more than {_SCHEMA_BYTES >> 20} MB")


def _judge(found: Iterator[dict[str, Any]], auditor: Auditor) -> Refused | None:
    for node in found:
        loader, module, name = (node.get(key) for key in ("__loader__", "__module__", "__class__"))
        if not isinstance(loader, str) or not isinstance(module, str) or not isinstance(name, str):
            return Refused(0, "it has a node without a name")
        if loader == "MethodNode":
            content = node.get("content")
            name = f"{name}.{content.get('func') if isinstance(content, dict) else ''}"
        if not makes(auditor.admitted, loader, module, name):
            auditor.report(module, name)
    return None


def makes(admitted: Admitted, loader: str, module: str, name: str) -> bool:
    """Tell whether a node of this kind may make something of this name."""
    kind = admitted.kind(module, name)
    if kind is Kind.TRUSTED:
        return True
    path = canonical(module, name)
    if loader == "ObjectNode" and path.startswith(_EMPTIED):
        return kind is Kind.VALUE
    kinds, below = _KINDS.get(loader, ((), ""))
    return path in _NODES.get(loader, ()) or (kind in kinds and path.startswith(below))


def nodes(artifact: Artifact) -> Iterator[dict[str, Any]]:
    """Yield everything in a skops file that skops could take for a node; raises what zipfile and json do."""
    with zipfile.ZipFile(artifact.path) as archive:
        _check_sizes(artifact, archive)
        waiting = [json.loads(archive.read(_SCHEMA))]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if "__loader__" in value:
                yield value
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
