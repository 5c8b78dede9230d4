"""Every deliberate error of PRISM, as one tree.

    PrismError                  code, status, message, hint, details
      PluginError               PluginLoadError  PluginConflict  UnknownPlugin  ConfigError
      ArtifactError    422      UnknownFormat  UnsafeArtifact  ArtifactTooLarge(413)
      DeployError      500      LaunchFailed  ModelLoadFailed(422)  NotReadyInTime(504)  EnvironmentFailed
                                IllegalTransition(409)  ArtifactDamaged
      RequestError     4xx      ModelNotFound 404  InvalidInput 422  MalformedBody 400  UnsupportedInput 415
                                NotAcceptable 406  PayloadTooLarge 413  Unauthorized 401  Forbidden 403
                                RateLimited 429  QuotaExceeded 429  LinkExpired 410  LinkNotFound 404
                                InvalidParameter 400  KeyNotFound 404  RouteNotFound 404  MethodNotAllowed 405
                                InvalidRoute 422
                                MalformedRequest 400  RequestTooSlow 408  TargetTooLong 414  HeadTooLarge 431
                                NoRecordings 404  AnswerNotFound 404  AnswerJudged 409
      ServingError     5xx      Overloaded 503  StillLoading 503  InsufficientMemory 507  ReplicaLost 502
                                DeadlineExceeded 504  ModelFailed 500  InternalError 500
                                TunnelFailed 502  TunnelRefused 502
                                AuditFailed 507  IdentityUnavailable 503
                                StorageFull 507  StorageFailed 503  TooFewMembers 503  NoQuorum 500

The message is one sentence of fact with the offending value and the expectation; the
hint is the next action; ``details`` are for machines. None of the three ever holds a
stack trace or a path of the server where a remote caller sees it; the owner, on the admin
listener, gets the last lines of a failed replica's log in ``details["log"]``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class PrismError(Exception):
    """Base of all deliberate errors.

    Parameters
    ----------
    message
        One sentence of fact.
    hint
        What to do next, or "".
    details
        JSON-able facts for programs, for instance every bad row and column at once.
    """

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500

    def __init__(self, message: str, *, hint: str = "", details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = dict(details or {})

    def __init_subclass__(cls) -> None:
        # The code is the class name in snake case: one name for log, wire, docs and Python.
        cls.code = "".join(f"_{c.lower()}" if c.isupper() else c for c in cls.__name__).lstrip("_")

    def __reduce__(self) -> tuple[Any, ...]:
        return (error_from_code, (self.code, self.message, self.hint, self.details))


class PluginError(PrismError):
    """A plugin, or the configuration that names it, is wrong."""


class PluginLoadError(PluginError):
    """A plugin could not be imported or registered."""


class PluginConflict(PluginError):
    """Two plugins offer the same thing under one name."""


class UnknownPlugin(PluginError):
    """A plugin or one of its extensions was asked for by a name that nobody offers."""

    status = 422


class ConfigError(PluginError):
    """A setting is wrong; the message names the key's path."""

    status = 422


class ArtifactError(PrismError):
    """The artifact cannot be served."""

    status = 422


class UnknownFormat(ArtifactError):
    """No loader recognises the artifact."""


class UnsafeArtifact(ArtifactError):
    """An inspector found something that must not be loaded."""


class ArtifactTooLarge(ArtifactError):
    """The artifact is larger than the server takes."""

    status = 413


class DeployError(PrismError):
    """A version could not be brought up, or may not be moved."""


class LaunchFailed(DeployError):
    """The isolation backend could not start a replica."""


class ModelLoadFailed(DeployError):
    """The runtime started, the model did not load."""

    status = 422


class NotReadyInTime(DeployError):
    """The replica did not report READY in time."""

    status = 504


class EnvironmentFailed(DeployError):
    """The model's environment could not be prepared."""


class IllegalTransition(DeployError):
    """The version's state does not allow this move; nothing was changed."""

    status = 409


class ArtifactDamaged(DeployError):
    """What lies in the store is not what was uploaded."""


class RequestError(PrismError):
    """The caller can fix it."""

    status = 400


class ModelNotFound(RequestError):
    """No such model, version or alias is being served."""

    status = 404


class InvalidInput(RequestError):
    """The body was understood, its values do not fit the signature."""

    status = 422


class MalformedBody(RequestError):
    """The body is not what its media type says."""


class AnswerNotFound(RequestError):
    """Feedback is about an answer that is not remembered, or was not given to whoever sends it."""

    status = 404


class AnswerJudged(RequestError):
    """Feedback is about an answer that was judged before, and otherwise."""

    status = 409


class MalformedRequest(RequestError):
    """The request is not HTTP/1.1 as the standard writes it; the connection is closed."""


class TargetTooLong(RequestError):
    """The request's path and query are longer than the server takes."""

    status = 414


class HeadTooLarge(RequestError):
    """The request's headers are more, or longer, than the server takes."""

    status = 431


class RequestTooSlow(RequestError):
    """The request did not come in time; the connection is closed."""

    status = 408


class UnsupportedInput(RequestError):
    """No normalizer reads this media type."""

    status = 415


class NotAcceptable(RequestError):
    """No normalizer writes the media type that was asked for."""

    status = 406


class PayloadTooLarge(RequestError):
    """The body is larger than the server takes."""

    status = 413


class Unauthorized(RequestError):
    """No or wrong credentials."""

    status = 401


class Forbidden(RequestError):
    """The credentials do not allow this."""

    status = 403


class RateLimited(RequestError):
    """Too many requests; ``details["retry_after_s"]`` says when to come back.

    ``lines`` are header lines for the answer, each with its line end.
    """

    status = 429
    lines: bytes = b""


class QuotaExceeded(RateLimited):
    """The caller has had all predictions that it may ever ask for; waiting does not help."""


class LinkExpired(RequestError):
    """The link has ended."""

    status = 410


class LinkNotFound(RequestError):
    """There is no link with this slug, or it was revoked."""

    status = 404


class KeyNotFound(RequestError):
    """There is no API key with this id."""

    status = 404


class InvalidParameter(RequestError):
    """A query parameter or a header of the request is wrong."""


class InvalidRoute(RequestError):
    """Traffic cannot go as the route says; the message names the key's path. Nothing was changed."""

    status = 422


class RouteNotFound(RequestError):
    """The server has no such route."""

    status = 404


class MethodNotAllowed(RequestError):
    """The route does not take this method; ``details["allow"]`` names those that it does."""

    status = 405


class NoRecordings(RequestError):
    """Nothing was recorded of the model, or nothing in the time that was asked for."""

    status = 404


class ServingError(PrismError):
    """The server could not answer a good request."""

    status = 503


class Overloaded(ServingError):
    """The queue is full; ``details["retry_after_s"]`` is computed from the measured service time."""


class StillLoading(ServingError):
    """The model was unloaded and takes longer to load than the request may wait for that."""


class InsufficientMemory(ServingError):
    """There is no memory for the model."""

    status = 507


class AuditFailed(ServingError):
    """What was asked for could not be written into the audit log, so it was not done."""

    status = 507


class StorageFull(ServingError):
    """The server's disk is full."""

    status = 507


class StorageFailed(ServingError):
    """The server's disk or database could not be written: broken, read-only or locked."""


class TunnelFailed(ServingError):
    """A tunnel is not up, or fell; it is tried again by itself."""

    status = 502


class TunnelRefused(ServingError):
    """A tunnel that another try will not open: an unknown host key, a login or a name that is refused."""

    status = 502


class ReplicaLost(ServingError):
    """The replica died with the request in flight."""

    status = 502


class DeadlineExceeded(ServingError):
    """The answer did not come before the request's deadline."""

    status = 504


class ModelFailed(ServingError):
    """The model raised, or answered with something that does not fit."""

    status = 500


class TooFewMembers(ServingError):
    """Fewer members of an ensemble answered than it needs; ``details["failed"]`` says why not."""


class NoQuorum(ServingError):
    """Too few members of an ensemble agree on a label; ``details["rows"]`` are the rows."""

    status = 500


class IdentityUnavailable(ServingError):
    """Nobody can tell who calls: the keys of the identity provider are not known."""


class InternalError(ServingError):
    """A fault of PRISM itself; the caller sees only an ``error_id``, under which the log has the rest."""

    status = 500


def all_errors() -> dict[str, type[PrismError]]:
    """Return every error class by its code."""
    found: dict[str, type[PrismError]] = {}
    waiting: list[type[PrismError]] = [PrismError]
    while waiting:
        cls = waiting.pop()
        found[cls.code] = cls
        waiting.extend(cls.__subclasses__())
    return found


def error_from_code(
    code: str, message: str, hint: str = "", details: Mapping[str, Any] | None = None
) -> PrismError:
    """Rebuild an error that came over the wire; an unknown code becomes a plain `PrismError`."""
    return all_errors().get(code, PrismError)(message, hint=hint, details=details)
