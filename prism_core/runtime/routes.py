"""The routes of a replica that is asked by HTTP: predictions, and health by the Open Inference Protocol.

``/v2`` is that protocol's: liveness, readiness and metadata. ``/v1`` is KServe's, ``/model`` is as on a
PRISM server. Predictions are asked for in the dialects of plugins, too. Functions of a request's head: no
socket and no body.
"""

from __future__ import annotations

import hmac
import re
from typing import TYPE_CHECKING, Any

import attrs

from prism_core import __version__
from prism_core.dialects import Spoken, media_type_of
from prism_core.errors import MethodNotAllowed, ModelNotFound, PrismError, RouteNotFound, Unauthorized
from prism_core.manifest import Manifest
from prism_core.runtime.heads import RequestHead, body_type
from prism_core.serving import reference_to
from prism_core.types import TensorSpec

if TYPE_CHECKING:  # it imports what imports this module
    from prism_core.runtime.server import Service

# Anybody may ask these: whoever watches over a container has no token.
OPEN = frozenset({"/v2/health/live", "/v2/health/ready"})
_V2 = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?(/ready)?")
_V1 = re.compile(r"/v1/models/([^/:]+)")
_PREDICT = (
    (re.compile(r"/predict()()"), ""),
    (re.compile(r"/model/([^/]+)(?:/versions/([^/]+))?/predict"), ""),
    (re.compile(r"/v1/models/([^/:]+)()/predict"), ""),
    (re.compile(r"/v1/models/([^/:]+)():predict"), "v1"),
)


@attrs.frozen
class Page:
    """An answer that is there already, to be sent as JSON."""

    value: Any
    status: int = 200


@attrs.frozen
class Prediction:
    """A request to predict.

    Parameters
    ----------
    media_type, accept, query
        What the body is and how the answer may be, as for `prism_core.runtime.session.Session.read`.
    style
        As in `prism_core.specs.Answer`, "" for PRISM's own.
    """

    media_type: str
    accept: str
    query: str = ""
    style: str = ""


def route(service: Service, head: RequestHead, spoken: Spoken | None = None) -> Page | Prediction:
    """Return what is asked for; ``spoken`` is whose path it is, None for the replica's own.

    Raises
    ------
    Unauthorized
        If the service has a token and the request another.
    RouteNotFound, MethodNotAllowed, ModelNotFound
        If there is nothing there to ask.
    UnsupportedInput
        If the body is packed.
    PrismError
        That of a model which did not load.
    Exception
        Whatever a dialect raises.
    """
    path = head.path
    if path not in OPEN:
        _check_token(service, head)
    if spoken is not None:
        _check_method(head, "POST")
        _check_model(_manifest(service), spoken.model, spoken.version)
        return Prediction(media_type_of(spoken.dialect, head.headers), spoken.dialect.accept)
    if (style := _predicts(service, path)) is not None:
        _check_method(head, "POST")
        return Prediction(body_type(head), head.headers.get("accept", ""), head.query, style)
    page = _page(service, path)
    _check_method(head, "GET", "HEAD")
    return page


def _check_token(service: Service, head: RequestHead) -> None:
    if not service.token:
        return
    scheme, _, token = head.headers.get("authorization", "").partition(" ")
    given = token.strip() if scheme.lower() == "bearer" else ""
    if not hmac.compare_digest(given.encode("latin-1"), service.token.encode()):
        raise Unauthorized(
            "The token is missing or wrong.",
            hint="Send `Authorization: Bearer TOKEN` with the replica's own.",
        )


def _check_method(head: RequestHead, *allowed: str) -> None:
    if head.method not in allowed:
        raise MethodNotAllowed(
            "This route does not take this method.",
            hint=f"Use {allowed[0]}.",
            details={"allow": ", ".join(allowed)},
        )


def _predicts(service: Service, path: str) -> str | None:
    for pattern, style in _PREDICT:
        if found := pattern.fullmatch(path):
            if found[1]:
                _check_model(_manifest(service), found[1], found[2])
            return style
    return None


def _page(service: Service, path: str) -> Page:
    ready = service.engine is not None and not service.draining.is_set()
    status = 200 if ready else 503
    if path == "/v2/health/live":
        return Page({"live": True})
    if path == "/v2/health/ready":
        return Page({"ready": ready}, status)
    if path == "/v2":
        return Page({"name": "prism", "version": __version__, "extensions": service.dialects.extensions})
    if path == "/health":
        manifest = _manifest(service)
        facts = {"model": manifest.model, "version": manifest.version}
        return Page(facts | {"state": "ready" if ready else "draining"}, status)
    if found := _V2.fullmatch(path):
        manifest = _manifest(service)
        _check_model(manifest, found[1], found[2])
        told = {"name": manifest.model, "ready": ready}
        return Page(told, status) if found[3] else Page(_metadata(service, manifest))
    if found := _V1.fullmatch(path):
        _check_model(_manifest(service), found[1], "")
        return Page({"name": found[1], "ready": ready}, status)
    raise RouteNotFound(
        "There is no such route.", hint="POST /predict predicts; GET /v2/health/ready tells whether it can."
    )


def _metadata(service: Service, manifest: Manifest) -> dict[str, Any]:
    assert service.engine
    signature = service.engine.session.signature
    return {
        "name": manifest.model,
        "versions": [str(manifest.version)],
        "platform": manifest.loader,
        "inputs": [_tensor(spec) for spec in signature.inputs],
        "outputs": [_tensor(spec) for spec in signature.outputs],
    }


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)}


def _manifest(service: Service) -> Manifest:
    if service.engine is None:
        failure: PrismError | None = service.failure
        assert failure is not None
        raise failure
    return service.engine.session.manifest


def _check_model(manifest: Manifest, name: str, version: str | None) -> None:
    own = manifest.model
    if reference_to(name, version or "") not in (own, f"{own}/{manifest.version}"):
        asked = f"{name}/{version}" if version else name
        raise ModelNotFound(
            f"{asked[:80]!r} is not served here.", hint=f"This is {manifest.model}/{manifest.version}."
        )
