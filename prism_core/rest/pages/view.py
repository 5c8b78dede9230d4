"""Everything that a model's page shows, in one record: what the templates may use, and nothing else.

It is for whoever may see the model: no path, no option, no process and no log.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import attrs

from prism_core.gateway.views import VersionInfo
from prism_core.rest.describe import curl, example, signature_of
from prism_core.rest.pages.filled import samples
from prism_core.rest.pages.place import Place
from prism_core.rest.pages.trying import Trial
from prism_core.rest.pages.widgets import Form, form_of
from prism_core.types import Signature


@attrs.frozen
class View:
    """A page of a model."""

    name: str
    version: int
    created: float
    ready: bool
    state: str
    description: str
    signature: Signature | None
    form: Form | None
    place: Place
    requests: tuple[tuple[str, str], ...] = ()
    example: str = ""
    texts: Mapping[str, str] = attrs.field(factory=dict)
    errors: Mapping[str, str] = attrs.field(factory=dict)
    trial: Trial | None = None
    remarks: tuple[str, ...] = ()


def view_of(version: VersionInfo, place: Place, *, filled: bool = False) -> View:
    """Return the page of ``version``, its form empty or ``filled`` with an example."""
    signature = signature_of(version)
    form = form_of(signature) if signature else None
    return View(
        name=version.model,
        version=version.version,
        created=version.created,
        ready=version.state == "READY",
        state=version.state,
        description="",
        signature=signature,
        form=form,
        place=place,
        requests=_requests(signature, place) if signature else (),
        example=_example(signature) if signature else "",
        texts=samples(form) if form and filled else {},
    )


def with_trial(view: View, trial: Trial) -> View:
    """Return the page with what came of a row that somebody tried."""
    return attrs.evolve(view, trial=trial, texts=trial.texts, errors=trial.errors)


def _requests(signature: Signature, place: Place) -> tuple[tuple[str, str], ...]:
    return (("curl", curl(signature, place.url, keyed=bool(place.secret))),)


def _example(signature: Signature) -> str:
    body: Any = example(signature)
    return json.dumps(body, ensure_ascii=False) if body is not None else ""
