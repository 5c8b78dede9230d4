"""What the REST layer and the command line are told of models, and what they ask for.

Plain values that go to JSON as they are.
"""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Any, Literal

import attrs

from prism_core.environment import SERVER
from prism_core.errors import InvalidParameter
from prism_core.manifest import Batching
from prism_core.traffic.flaws import MODEL


@attrs.frozen
class UploadRequest:
    """What comes with the bytes of an upload.

    Parameters
    ----------
    name
        The model's name, "" to take it from ``filename``.
    filename
        What the artifact was called, with its suffix.
    alias
        An alias that is to point to the new version, "" for none.
    isolation
        The isolation backend, "" for the server's default.
    directory
        The bytes are a tar of a directory.
    example
        A request body, in base64, that the new version must answer before it is published.
    optimize
        "auto": look for a faster form of the model; "" for the server's default.
    environment
        "auto": one with the packages that the artifact asks for; "server": the server's own,
        whatever it asks for; "" for the server's default.
    requirements
        What replaces the artifact's own word, each as PEP 508 writes it: ``scikit-learn==1.5.2``.
    python
        The version of Python to run on, ``3.12``; "" for the server's.
    constraints
        Versions for packages that are installed anyway, each ``name==version``: a lock. Nothing is
        installed because it is named here.
    description
        What its page says of it, in Markdown; "" for the README.md of a directory.
    """

    name: str = ""
    filename: str = ""
    loader: str = ""
    alias: str = ""
    replicas: int = 1
    min_replicas: int | None = None
    max_replicas: int | None = None
    idle_unload_s: float | None = None
    pin: bool = False
    threads: int = 1
    options: dict[str, Any] = attrs.field(factory=dict)
    trust: tuple[str, ...] = ()
    isolation: str = ""
    timeout_s: float = 30.0
    memory_estimate_bytes: int = 0
    memory_limit_bytes: int = 0
    preload: bool = True
    batching: Batching = Batching()
    directory: bool = False
    example: str | None = None
    example_media_type: str = "application/json"
    optimize: Literal["", "auto", "off"] = ""
    environment: Literal["", "auto", "server"] = ""
    requirements: tuple[str, ...] = ()
    python: str = ""
    constraints: tuple[str, ...] = ()
    description: str = ""

    @property
    def model(self) -> str:
        """The model's name, checked.

        Raises
        ------
        InvalidParameter
            If it cannot be a model's name.
        """
        return check_name(self.name or name_of(self.filename))

    def check_replicas(self) -> None:
        """Check the bounds on replicas.

        Raises
        ------
        InvalidParameter
            If nothing lies between them.
        """
        fewest = max(1, self.replicas if self.min_replicas is None else self.min_replicas)
        if self.max_replicas is not None and self.max_replicas < fewest:
            raise InvalidParameter(
                f"max_replicas is {self.max_replicas}; {fewest} replicas are what there are at least.",
                hint="Raise max_replicas, or lower min_replicas or replicas.",
            )


@attrs.frozen
class VersionInfo:
    """One version, as it is shown.

    ``created`` and ``last_used`` are in Unix seconds; ``last_used`` is None where no call is
    known. ``loaded``: it has replicas; a ready version without any is loaded by its next call.
    ``replicas`` holds, for each, ``replica``, ``pid``, ``state``, ``circuit`` (``open``: it fails
    while others answer, and gets nothing), ``memory_bytes`` (its own)
    and ``share_bytes`` (and its part of what is shared), None where they were not measured,
    ``sandbox`` (how it says that it is shut in), ``framework`` and ``python`` (what it says that it runs
    with, and their versions), ``restarts``, ``last_loss`` (why it was last
    restarted), ``started`` and ``address``.
    ``duplicate`` says that an upload was answered with a version that existed. ``optimization`` is
    what came of the wish for a faster form, None where nobody asked. ``environment`` is the key of
    what it runs in, "server" for the server's own. ``description`` is Markdown. ``routed``: the model's bare
    name goes by a route; ``traffic`` is what routes give the version, in words: "split 90 %",
    "fallback of rf". ``warm_until`` is until when it is kept loaded after an alias has left it, None for
    no longer.
    """

    model: str
    version: int
    state: str
    digest: str
    size_bytes: int
    loader: str
    artifact: str
    created: float
    options: dict[str, Any]
    isolation: str
    aliases: list[str]
    signature: dict[str, Any] | None
    warnings: list[str]
    error: str
    url: str
    replicas: list[dict[str, Any]]
    loaded: bool = False
    last_used: float | None = None
    duplicate: bool = False
    optimization: dict[str, Any] | None = None
    environment: str = SERVER
    description: str = ""
    routed: bool = False
    traffic: list[str] = attrs.field(factory=list)
    warm_until: float | None = None


@attrs.frozen
class ModelInfo:
    """One model, as it is shown.

    ``aliases`` maps alias to version. ``error`` is why a model of the settings could not be
    brought up. ``routed``: the bare name goes by a route.
    """

    model: str
    aliases: dict[str, int]
    versions: list[VersionInfo]
    url: str
    error: str = ""
    routed: bool = False


def name_of(filename: str) -> str:
    """Return the model's name that a file's name suggests: ``churn_model.pkl`` is ``churn``."""
    stem = PurePath(filename).name.lower()
    stem = stem.rpartition(".")[0] or stem
    stem = re.sub(r"[^a-z0-9._-]+", "-", stem)
    shortened = re.sub(r"[_-]model$", "", stem)
    return (shortened or stem).strip("._-")[:64]


def check_name(name: str, kind: str = "model") -> str:
    """Return ``name`` if it may name a model or an alias.

    Raises
    ------
    InvalidParameter
        If it may not.
    """
    if MODEL.fullmatch(name):
        return name
    raise InvalidParameter(
        f"{name!r} is no name for the {kind}: lower-case letters, digits, '.', '_' and '-', at most 64, "
        "a letter or digit first.",
        hint="Choose one with --name." if kind == "model" else "",
    )


@attrs.frozen
class TunnelInfo:
    """How links are reached through one link provider.

    Parameters
    ----------
    name
        The link provider's.
    state
        "connecting", "up" (a probe through ``url`` was answered by this very server), "down" (it is
        tried again), "failed" (it is not, until the owner has done something).
    url
        The present base URL, without a slash at its end; the last known while it is not up, "" before.
    since
        When the state began, in Unix seconds.
    reason
        Why it is not up, as a sentence, and what to do.
    attempts
        How often it was tried since it was last up.
    """

    name: str
    state: Literal["connecting", "up", "down", "failed"]
    url: str = ""
    since: float = 0.0
    reason: str = ""
    attempts: int = 0
