"""The records that hooks yield. A record describes; the core chooses, opens and reports.

Everything here is frozen and cheap: yielding a record imports no framework and opens nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from pathlib import Path
from typing import Any, Generic, TypeVar

import attrs
import msgspec
import numpy as np

from prism_core.environment import Requirement
from prism_core.limits import Limits
from prism_core.protocols import BaseModel, Cache, Launcher, Linker, RateStore
from prism_core.rates import Allowance
from prism_core.types import Batch, Signature


def _always() -> str:
    return ""


def _nothing(_: Artifact) -> tuple[Requirement, ...]:
    return ()


@attrs.frozen
class NoConfig:
    """The options of something that has none."""


@attrs.frozen
class Artifact:
    """A file or directory that someone wants served.

    ``name`` is the name it was uploaded under, with its suffix; ``path`` is where it lies
    now, possibly under another name. ``limits`` are the server's: what opens the artifact
    asks them before it believes what that says of its own size.
    """

    path: Path
    name: str
    limits: Limits = Limits()

    @property
    def suffix(self) -> str:
        """The lower-case suffix of the uploaded name, with its dot; "" for a directory."""
        return Path(self.name).suffix.lower()

    def head(self, size: int = 64) -> bytes:
        """Return the first ``size`` bytes, b"" for a directory."""
        if self.path.is_dir():
            return b""
        with self.path.open("rb") as file:
            return file.read(size)


@attrs.frozen
class Loader:
    """How artifacts of one framework become models.

    Parameters
    ----------
    name
        What ``--loader`` takes, for instance ``sklearn``.
    suffixes
        File suffixes with dots, lower case. A hint: content decides where it can.
    recognises
        Looks at the artifact without executing anything of it: 0.0 'not mine', 1.0 'certainly
        mine'. Runs in the gateway, so it imports no framework. The highest wins.
    load
        Runs in the runtime only: ``load(artifact, options)`` returns the model.
    requires
        Modules that must be importable, also what the zygote warms; the first is the framework.
    options
        An attrs class: what ``--option k=v`` may set.
    deterministic
        Equal inputs give equal outputs: answers may be cached, and retried on another replica.
    row_independent
        A row's answer does not depend on its neighbours: requests may be joined.
    rehearse
        Yields small models, made as ``load`` makes them. Called once in the process that replicas
        are forked from, where each is asked once: what the framework does only at its first use
        is then done for all replicas. Must start no thread.
    requirements
        ``requirements(artifact)`` yields what the artifact says that it was made with. Runs in the gateway
        after the inspectors: it executes nothing of the artifact and imports no framework.
    """

    name: str
    suffixes: tuple[str, ...]
    recognises: Callable[[Artifact], float]
    load: Callable[[Artifact, Any], BaseModel]
    requires: tuple[str, ...] = ()
    options: type = NoConfig
    deterministic: bool = True
    row_independent: bool = True
    rehearse: Callable[[], Iterable[BaseModel]] = tuple
    requirements: Callable[[Artifact], Iterable[Requirement]] = _nothing


@attrs.frozen
class Conversion:
    """What an optimizer is given: a model as it would be served, and where to write another form of it.

    Parameters
    ----------
    artifact, options
        What was uploaded, and the loader's options.
    model
        The artifact as its loader loads it.
    directory
        An empty directory for what is written.
    """

    artifact: Artifact
    options: Any
    model: BaseModel
    directory: Path


@attrs.frozen
class Candidate:
    """Another form of a model: a file or directory that was written, and what it computes with.

    ``problem`` is why this form could not be made; there is nothing at ``path`` then.
    """

    path: Path
    dtype: str = ""
    problem: str = ""


@attrs.frozen
class Optimizer:
    """How models of one loader get a form that answers faster, and alike.

    Runs in a process of its own, once a version. The core loads each candidate, compares it
    with the original and measures both; the first that passes is what replicas load.

    Parameters
    ----------
    name
        What reports call it.
    loader
        The loader whose models it converts.
    into
        The loader of what it writes; it is given the version's own options.
    convert
        ``convert(conversion)`` yields candidates, the likeliest first; what it raises is
        told as the reason why the original is kept.
    rows
        ``rows(model, generator)`` yields batches on which the forms would differ if they
        differed at all, beside those that are made from the signature and the example.
    tolerance
        The largest error of a number that is let pass, relative to its output's magnitude.
    packages
        Distributions whose versions belong into the report.
    available
        Returns "" or one sentence why it cannot work here and how to get it.
    """

    name: str
    loader: str
    into: str
    convert: Callable[[Conversion], Iterable[Candidate]]
    rows: Callable[[BaseModel, np.random.Generator], Iterable[Batch]] | None = None
    tolerance: float = 1e-6
    packages: tuple[str, ...] = ()
    available: Callable[[], str] = _always


class TakesLong(Exception):
    """What a normalizer or an encoder raises that is waited for, and finds much to do.

    It is called again, beside the requests of others.
    """


@attrs.frozen
class Request:
    """What a normalizer is told beside the body.

    ``parameters`` are those of the media type and of the query, merged; ``options`` the
    version's. ``limits`` are the server's: to be asked before anything is made of the size
    that a body claims. ``waited_for``: other requests are not answered until this is read, so a
    body that turns out to be large, unpacked for instance, may raise `TakesLong`.
    """

    parameters: Mapping[str, str]
    options: Mapping[str, Any]
    limits: Limits = Limits()
    waited_for: bool = False


class Answer(msgspec.Struct, frozen=True):
    """What an encoder is given: the model's outputs and what the response says about them.

    ``outputs`` are the tensors to write, in order. ``style`` is "prism", or "v1" for the
    KServe V1 route, whose body holds ``predictions`` alone. ``reply`` is what the request's own
    normalizer left for this in `Batch.reply`. ``waited_for`` as in `Request`.
    """

    model: str
    version: int
    outputs: Batch
    signature: Signature
    style: str = "prism"
    reply: Any = None
    waited_for: bool = False


@attrs.frozen
class Normalizer:
    """One media type, both ways; pure functions that run in the runtime.

    Parameters
    ----------
    media_type
        Lower case, without parameters, for instance ``text/csv``.
    normalize
        ``normalize(body, signature, request)`` -> `Batch` that fits the signature. Raises
        `MalformedBody` or `InvalidInput`, with every bad row and column at once. None: this
        media type is written only.
    encode
        ``encode(answer)`` -> bytes. None: it is read only.
    normalize_steps, encode_steps
        The same as generators that yield every half millisecond or so and return what
        `normalize` or `encode` would: how a large body is read and a large answer written
        while others are answered. Where one returns None, or is None, the plain function is
        called in a thread beside the others.
    """

    media_type: str
    normalize: Callable[[memoryview, Signature, Request], Batch] | None = None
    encode: Callable[[Answer], bytes] | None = None
    available: Callable[[], str] = _always
    normalize_steps: (
        Callable[[memoryview, Signature, Request], Generator[None, None, Batch | None]] | None
    ) = None
    encode_steps: Callable[[Answer], Generator[None, None, bytes | bytearray | None]] | None = None


class Severity(StrEnum):
    """How much a finding matters: INFO is shown, WARNING is shown and kept, BLOCK ends the upload."""

    INFO = "info"
    WARNING = "warning"
    BLOCK = "block"


@attrs.frozen
class Finding:
    """What an inspector has to say about an artifact."""

    severity: Severity
    message: str
    hint: str = ""


Opened = TypeVar("Opened")


@attrs.frozen
class Extension(Generic[Opened]):
    """Something the gateway opens at start and closes at stop.

    Parameters
    ----------
    name
        What settings and flags call it.
    open
        ``open(config)`` -> async context manager of the working object.
    config
        The attrs class of ``plugins.<name>`` in ``prism.yaml``.
    available
        Returns "" or one sentence why it cannot work on this machine and how to get it.
    """

    name: str
    open: Callable[[Any], AbstractAsyncContextManager[Opened]]
    config: type = NoConfig
    available: Callable[[], str] = _always


@attrs.frozen
class IsolationBackend(Extension[Launcher]):
    """Opens a `Launcher`.

    ``transport``: "unix" if it takes the gateway's listening socket, "own" if its replicas make an
    address themselves, ``unix:PATH`` or ``tcp:HOST:PORT``; then each is given a token.
    """

    transport: str = "unix"


@attrs.frozen
class CacheBackend(Extension[Cache]):
    """Opens a `Cache`. Where its config has a ``namespace`` and that is "", it is given the server's id."""


@attrs.frozen
class RateBackend(Extension[RateStore]):
    """Opens a `RateStore`. Where its config has a ``namespace`` that is "", it is given the server's id."""


@attrs.frozen
class LinkProvider(Extension[Linker]):
    """Opens a `Linker`.

    Parameters
    ----------
    tunnel
        It leads in from elsewhere: it is given a listener of its own, on loopback, that answers the
        routes of links and nothing else. Without it, it names the public listener's own address.
    forwards
        The header in which it tells for whom it asks, in lower case: "x-forwarded-for", "forwarded",
        or "" for none, so that a caller's own header is not believed.
    rank
        Where it stands among those that ``--tunnel auto`` tries: lower first, 0 never.
    about
        Returns what ``prism doctor`` tells of it where it can work: a program, its version, where it leads.
        May take a second.
    """

    tunnel: bool = False
    forwards: str = ""
    rank: int = 0
    about: Callable[[], str] = _always


@attrs.frozen
class Caller:
    """Who calls, and what they may.

    Parameters
    ----------
    id
        ``key:ab12cd34``, ``link:SLUG``, ``oidc:SUBJECT``, "" for nobody in particular.
    scopes
        Of "predict" and "read".
    models
        Names of models, None for all that there are and will be.
    limits
        What they may ask in a time, and in all; None there is as the server has it.
    """

    id: str = ""
    scopes: frozenset[str] = frozenset({"predict", "read"})
    models: frozenset[str] | None = None
    limits: Allowance = Allowance()

    def may(self, verb: str, model: str) -> bool:
        """Return whether they may ``verb`` a model, an alias or a version of it; "" is no model, "*" all."""
        if scope_of(verb) not in self.scopes:
            return False
        return self.models is None or not model or model_of(model) in self.models


NOBODY = Caller()


def scope_of(verb: str) -> str:
    """Return the scope that ``verb`` needs: who may have answers may judge them."""
    return "predict" if verb == "judge" else verb


def model_of(reference: str) -> str:
    """Return the model's name in ``churn``, ``churn@champion`` or ``churn/3``."""
    return reference.partition("@")[0].partition("/")[0]


class Call(msgspec.Struct, frozen=True):  # one a request: a third of an attrs class's time
    """The head of a request, as guards see it; header names are lower case.

    ``verb`` is "predict", "read", or "judge" for feedback. ``model`` is the reference that is asked for,
    "" for lists and "*" for what concerns all models. ``client`` is an address, behind trusted proxies the
    caller's own.
    """

    model: str
    verb: str
    headers: Mapping[str, str]
    client: str
    body_bytes: int
    caller: Caller = NOBODY


@attrs.frozen
class Guard(Extension[Any]):
    """Opens an object whose plain, quick ``check(call: Call)`` raises a `RequestError` to refuse."""


class CallRecord(msgspec.Struct, frozen=True, gc=False):  # one a prediction: a third of an attrs class's time
    """One answered prediction, as observers see it. Times in seconds on the gateway's monotonic clock."""

    model: str
    version: int
    status: int
    code: str
    rows: int
    batch_rows: int
    queue_s: float
    compute_s: float
    total_s: float
    cache: str


@attrs.frozen
class Observer(Extension[Any]):
    """Opens an object with ``async observe(records: Sequence[CallRecord])``; called in the background."""


@attrs.frozen
class Command:
    """A ``prism`` subcommand: ``build()`` returns the click command, called only when it is needed."""

    name: str
    build: Callable[[], Any]
    help: str = ""


@attrs.frozen
class ModelEvent:
    """A change that has been stored: ``name`` such as ``model.ready``, and facts.

    ``link.up``, ``link.down``, ``link.failed`` and ``link.moved`` are of a link provider, the fact
    ``tunnel``: then ``model`` is "" and ``version`` 0.
    """

    name: str
    model: str
    version: int
    at: float
    facts: Mapping[str, Any]
