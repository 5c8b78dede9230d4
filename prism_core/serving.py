"""What speaks other protocols than PRISM's own: dialects, frontends, and the host that they stand before.

A `Dialect` is a way of asking for predictions over HTTP; it goes the same short way as PRISM's own routes.
A `Frontend` is everything else: an application under a path, or a listener of its own. Both are records
that hooks yield; `Host` is what a frontend is given of the server.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import attrs

from prism_core.errors import ModelNotFound, PrismError
from prism_core.specs import NOBODY, Caller, Extension
from prism_core.types import Signature

# No server comes so far as a version of so many digits; `int` would take seconds for a million of them.
MAX_DIGITS = 18
# What a model is called in a path, an alias too; for the patterns of `Dialect.routes`.
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"


def reference_to(model: str, version: str = "") -> str:
    """Return the reference to a model, of which a path or a message names the version, or an alias.

    Digits are a version's number: ``churn/3``. Anything else is an alias: ``churn@champion``.

    Raises
    ------
    ModelNotFound
        If the model's name has a slash, as no name has: it would be a reference by itself.
    """
    if "/" in model:
        raise ModelNotFound("A model's name has no slash.", hint="What is a version is told beside the name.")
    if not version:
        return model
    number = version.isascii() and version.isdecimal() and len(version) <= MAX_DIGITS
    return f"{model}/{int(version)}" if number else f"{model}@{version}"


def _is_pattern(dialect: Dialect, attribute: Any, routes: str) -> None:
    if "model" not in re.compile(routes).groupindex:
        raise ValueError(f"The routes of dialect {dialect.name!r} have no group 'model': {routes}")


@attrs.frozen
class Dialect:
    """A protocol's own routes for predictions, over HTTP.

    Nothing here sees a body that comes in: it goes to the runtime in a media type of a `Normalizer`,
    and its answer comes back in one. Both a gateway and a replica that is asked by HTTP itself know the
    routes.

    Parameters
    ----------
    name
        What it is called, for instance ``oip``.
    routes
        A pattern of the paths to which predictions are posted. The group ``model`` is a model's name,
        perhaps with an alias (``churn@champion``); the group ``version``, if it took part, a version's
        number or an alias.
    accept
        The media type in which the runtime answers.
    read
        ``read(headers)`` -> the media type, with parameters, in which the runtime gets the body. Called
        once for each distinct head on the short way, whose result is remembered; header names are in
        lower case. A `RequestError` refuses.
    write
        ``write(body)`` -> header lines, each with its line end, one of them ``content-type``, and what
        is sent as the body. Called for each answer, so it is quick and copies nothing large.
    problem
        ``problem(error)`` -> media type and body of an error; its status and headers are the core's.
        One with status 500 has been logged: its ``details`` have the ``error_id``.
    encodings
        The Content-Encodings that the runtime unpacks; any other is refused before.
    headers
        Header names of its own, lower case, that scripts of other origins may send and see, where CORS
        lets them ask at all.
    extensions
        What ``GET /v2`` of a replica that is asked by HTTP itself says that it has, with this dialect.
    """

    name: str
    routes: str = attrs.field(validator=_is_pattern)
    accept: str
    read: Callable[[Mapping[str, str]], str]
    write: Callable[[bytes | memoryview], tuple[bytes, bytes | memoryview]]
    problem: Callable[[PrismError], tuple[str, bytes]]
    encodings: frozenset[str] = frozenset()
    headers: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()


def _of_all(path: str) -> str:
    return "*"


def _unasked(config: Any) -> bool:
    return False


@attrs.frozen
class Frontend(Extension[Any]):
    """Another face of the server; ``open`` is given ``(config, host)``, its configuration and a `Host`.

    Parameters
    ----------
    path
        With the listeners "public" and "admin": ``open`` gives an ASGI application, which is mounted there.
    listener
        "own": ``open`` gives a `Face`, which listens by itself, or None where its configuration wants none;
        opened when the public listener accepts.
    asks
        ``asks(path)`` -> the model that a request is about, "" for a list that shows only what the
        caller may see, "*" for what concerns all models, None where anybody may ask. Called before the
        application.
    problem
        ``problem(error)`` -> media type and body of a refusal at the door; None for a problem document.
    wanted
        ``wanted(config)`` -> whether its configuration asks for it: then the server does not start without
        it. Any other that cannot be opened is left out. For the listener "own".
    """

    path: str = ""
    listener: str = "public"
    asks: Callable[[str], str | None] = _of_all
    problem: Callable[[PrismError], tuple[str, bytes]] | None = None
    wanted: Callable[[Any], bool] = _unasked


class Face(Protocol):
    """An open frontend with a listener of its own."""

    @property
    def url(self) -> str:
        """Where it listens, ``grpc://HOST:PORT``; told under its name when the server is ready.

        Where that is on all interfaces, ``grpc://0.0.0.0:PORT``, the public listener's host is told.
        """

    async def drain(self, timeout_s: float) -> None:
        """Accept nothing more; return when what is in flight is answered, or after ``timeout_s``."""


@attrs.frozen
class Served:
    """One version, as a frontend sees it.

    Parameters
    ----------
    state, reason
        READY and the like, and why it is not ready, as a sentence, where that may be told.
    aliases
        The aliases that mean it; with ``latest`` the model's bare name means it.
    signature
        None while no replica has reported one.
    max_batch_rows
        The most rows of one execution; 0 where rows of different requests are never joined.
    cached
        Whether an answer may be given again where an equal request comes.
    """

    model: str
    version: int
    state: str
    reason: str = ""
    loader: str = ""
    aliases: tuple[str, ...] = ()
    signature: Signature | None = None
    max_batch_rows: int = 0
    cached: bool = False

    @property
    def ready(self) -> bool:
        """Whether it answers; where it has been unloaded, the next request loads it."""
        return self.state == "READY"


@attrs.frozen
class Executions:
    """What executions of one batch size add up to. ``compute_s`` is their time in the model."""

    count: int
    compute_s: float


@attrs.frozen
class Statistics:
    """What the calls of one version add up to, since the server started. Times in seconds.

    Parameters
    ----------
    succeeded, failed, cancelled
        Requests, each with the time from first to last byte in ``_s``.
    rows
        Rows that were computed; those of answers from the cache are not.
    executions
        Calls of the model that have answered somebody.
    computed
        Requests that were computed.
    queue_s, compute_s
        Sums over these: until the model began, and in the model.
    hits, misses
        How often the cache had an answer, with the time from first to last byte in ``hits_s``, and how often
        not.
    batches
        Executions by their rows.
    last
        When the last request was answered, in Unix seconds, 0 for never. May be told ten seconds late.
    """

    model: str
    version: int
    succeeded: int = 0
    succeeded_s: float = 0.0
    failed: int = 0
    failed_s: float = 0.0
    cancelled: int = 0
    rows: int = 0
    executions: int = 0
    computed: int = 0
    queue_s: float = 0.0
    compute_s: float = 0.0
    hits: int = 0
    hits_s: float = 0.0
    misses: int = 0
    batches: Mapping[int, Executions] = attrs.field(factory=dict)
    last: float = 0.0


class Predicted(Protocol):
    """An answer. Times in microseconds."""

    body: bytes | memoryview
    media_type: str
    model: str
    version: int
    rows: int
    cache: str
    batch_rows: int
    queue_us: int
    compute_us: int
    lines: bytes
    """Header lines that say what a route did, each with its line end; b"" mostly."""


class Admitted(Protocol):
    """A request that the door has let in; ``lines`` are header lines for its answer."""

    @property
    def caller(self) -> Caller:
        """Who asks."""

    @property
    def lines(self) -> bytes:
        """Header lines, each with its line end; b"" mostly."""


@attrs.frozen
class Surroundings:
    """What a listener of its own has to fit in with.

    Parameters
    ----------
    host, port
        Where the public listener listens.
    any_port
        Whether that port was left to the system.
    tls_cert, tls_key, client_ca
        Files of the public listener's certificate, "" where it is not encrypted, and of whom clients
        must be signed by, "" for nobody. They may be replaced while the server runs.
    max_body_bytes
        The largest body that is taken.
    """

    host: str
    port: int
    tls_cert: str = ""
    tls_key: str = ""
    client_ca: str = ""
    max_body_bytes: int = 64 * 1024 * 1024
    any_port: bool = False


class Host(Protocol):
    """A server as its frontends see it. References are ``churn``, ``churn@champion``, ``churn/3``."""

    version: str
    """PRISM's."""

    @property
    def surroundings(self) -> Surroundings:
        """Where the public listener is; to be asked by frontends with a listener of their own."""

    def settled(self) -> bool:
        """Return whether every model that is served at start is ready, or has failed."""

    def enter(
        self, model: str, verb: str, headers: Mapping[str, str], client: str, body_bytes: int = 0
    ) -> Admitted:
        """Ask the door to let a request in; it raises to refuse. For what comes by a listener of its own.

        ``verb`` is "predict" or "read", ``model`` as `Frontend.asks` returns it, header names lower case,
        ``client`` the address of who is connected.
        """

    def is_owner(self, headers: Mapping[str, str], client: str) -> bool:
        """Return whether the admin token came, ``Authorization: Bearer``, from this machine.

        If so, what this task does from there on is the owner's in the audit log. A wrong one is in it too.
        """

    def failed(self, admitted: Any, error: Exception) -> PrismError:
        """Tell the door that a request which it let in has no answer; return what its sender is told.

        ``admitted`` is what `enter` returned, None where the request did not get as far.
        """

    def caller(self, scope: Mapping[str, Any]) -> Caller:
        """Return who sent a request to a mounted application."""

    async def predict(
        self,
        reference: str,
        body: bytes | memoryview,
        *,
        media_type: str = "",
        accept: str = "",
        timeout_s: float = 0.0,
        request: str = "",
        no_store: bool = False,
        headers: Mapping[str, str] | None = None,
        client: str = "",
        admitted: Any = None,
    ) -> Predicted:
        """Return the answer to ``body``; whoever is cancelled waits for it no more, nor does the runtime.

        With ``no_store`` it is computed in any case, and not kept. ``headers``, ``client`` and what
        `enter` returned say who asks: the model's route may go by it.

        Raises
        ------
        PrismError
            Why there is none.
        """

    def served(self, caller: Caller = NOBODY) -> Sequence[Served]:
        """Return all versions that a caller may see."""

    def find(self, reference: str) -> Served:
        """Return what a reference means, in whatever state.

        Raises
        ------
        ModelNotFound
            If there is none.
        """

    async def start(self, model: str, version: int | None = None) -> None:
        """Bring a version up; without a number all that the model's aliases mean. For the owner alone."""

    async def stop(self, model: str, version: int | None = None) -> None:
        """Take a version, or all of a model's, out of service. For the owner alone."""

    async def statistics(self, model: str = "", version: int | None = None) -> Sequence[Statistics]:
        """Return the statistics of all versions, of a model's, or of one."""

    def note(
        self,
        method: str,
        path: str,
        client: str,
        status: int,
        answer_bytes: int,
        seconds: float,
        *,
        request: str = "",
        admitted: Admitted | None = None,
        predicted: Predicted | None = None,
    ) -> None:
        """Write a line of the access log, where there is one, for what came by a listener of its own.

        ``status`` is HTTP's, 499 where the client left; ``request`` the id that the request was given.
        """
