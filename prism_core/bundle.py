"""A frozen version: the model, the packages it ran with, its signature and its configuration in one file.

A bundle is a plain tar. Its first file says what is in it, with a digest of itself and of the artifact,
which follows. Nothing is compressed: its length is known before it is sent, the same version is the same
bytes, and it cannot unpack to more than it is. How it is opened is `prism_core.gateway.bundling`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any

import attrs
import msgspec

from prism_core import __version__, tars
from prism_core.environment import Requirement
from prism_core.errors import ArtifactError
from prism_core.manifest import Batching

FORMAT = 1
MEDIA_TYPE = "application/vnd.prism.bundle"
SUFFIX = ".prism"
# The names in the tar: what a bundle says, and the file or directory that was uploaded.
HEAD = "prism-bundle.json"
ARTIFACT = "artifact"
# What a bundle says may be so long; a signature of ten thousand columns takes a tenth of it.
MAX_HEAD_BYTES = 8 << 20
AGAIN = "Freeze the model again: `prism freeze MODEL -o FILE` leaves no file behind that is not whole."

Count = Annotated[int, msgspec.Meta(ge=1)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]


@attrs.frozen
class FrozenArtifact:
    """What was uploaded: its name then, its digest, and whether it is a directory."""

    name: str
    digest: str
    size_bytes: Annotated[int, msgspec.Meta(ge=0)]
    directory: bool


@attrs.frozen
class Config:
    """How a version is served, as far as that is the model's affair and not its machine's.

    The names and meanings are those of `prism_core.manifest.Manifest`.
    """

    options: dict[str, Any] = attrs.field(factory=dict)
    replicas: Count = 1
    min_replicas: Annotated[int, msgspec.Meta(ge=0)] | None = None
    max_replicas: Count | None = None
    idle_unload_s: NotNegative | None = None
    threads: Count = 1
    timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 30.0
    memory_limit_bytes: Annotated[int, msgspec.Meta(ge=0)] = 0
    batching: Batching = Batching()
    optimize: str = "off"
    description: Annotated[str, msgspec.Meta(max_length=8192)] = ""


@attrs.frozen
class Locked:
    """One distribution, exactly."""

    name: str
    version: str


@attrs.frozen
class FrozenEnvironment:
    """The packages that it ran with.

    Parameters
    ----------
    python_version
        The interpreter's, ``3.11.7``.
    lock
        All distributions but PRISM's own, which are the server's that takes the bundle.
    requirements
        What was asked for, of which the lock came.
    """

    python_version: str
    lock: tuple[Locked, ...] = ()
    requirements: tuple[Requirement, ...] = ()


@attrs.frozen
class Bundle:
    """What a bundle says.

    ``plugin`` is the distribution that offered the loader, with its version. ``trust`` are names that
    its owner admitted: told, and not believed.
    """

    model: str
    version: int
    created: float
    artifact: FrozenArtifact
    loader: str
    plugin: str
    config: Config
    environment: FrozenEnvironment
    trust: tuple[str, ...] = ()
    signature: dict[str, Any] | None = None

    @property
    def filename(self) -> str:
        """The name of a file for it."""
        return f"{self.model}-{self.version}{SUFFIX}"


class _Head(msgspec.Struct):
    format: int
    prism: str
    digest: str
    contents: msgspec.Raw


class _Version(msgspec.Struct):
    format: int
    prism: str = "a newer one"


def encode(bundle: Bundle) -> bytes:
    """Return what stands first in a bundle's tar."""
    contents = msgspec.json.encode(bundle, order="deterministic")
    head = _Head(FORMAT, __version__, _digest(contents), msgspec.Raw(contents))
    return msgspec.json.encode(head) + b"\n"


def decode(data: bytes) -> Bundle:
    """Read what `encode` wrote.

    Raises
    ------
    ArtifactError
        If it is damaged, or of a format that this PRISM does not know.
    """
    try:
        told = msgspec.json.decode(data, type=_Version)
        if told.format != FORMAT:
            raise ArtifactError(
                f"The bundle has format {told.format}, written by PRISM {told.prism!r:.40}; "
                f"this PRISM ({__version__}) reads format {FORMAT}.",
                hint="Upgrade PRISM, or freeze the model with this version of it.",
            )
        head = msgspec.json.decode(data, type=_Head)
        if _digest(bytes(head.contents)) != head.digest:
            raise damaged("what it says does not have the digest that it names")
        return msgspec.json.decode(head.contents, type=Bundle)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise damaged(str(error)) from error


def damaged(why: str) -> ArtifactError:
    """Return the error of a bundle that is not what `prism freeze` wrote."""
    return ArtifactError(f"The bundle is damaged: {why:.200}.", hint=AGAIN)


def is_bundle(head: bytes) -> bool:
    """Tell whether a file that begins with ``head``, 512 bytes of it, is a bundle."""
    return head.startswith(HEAD.encode() + b"\0") and head[257:262] == b"ustar" and len(head) >= 512


def entries(bundle: Bundle, artifact: Path) -> list[tars.Entry]:
    """Return the files of a bundle's tar; ``artifact`` is where the stored file or directory lies."""
    said = tars.Entry.of(HEAD, encode(bundle))
    if not artifact.is_dir():
        return [said, tars.Entry.of(ARTIFACT, artifact)]
    return [said, *(tars.Entry.of(f"{ARTIFACT}/{name}", path) for name, path in tars.files_below(artifact))]


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
