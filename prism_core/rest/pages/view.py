"""Everything that a model's page shows, in one record: what the templates may use, and nothing else.

It is for whoever may see the model: no path, no option, no process and no log.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import attrs

from prism_core.gateway.views import VersionInfo
from prism_core.rest import snippets
from prism_core.rest.describe import example, sample, signature_of
from prism_core.rest.pages.filled import samples
from prism_core.rest.pages.place import Place
from prism_core.rest.pages.trying import Trial, query_of
from prism_core.rest.pages.widgets import Form, form_of
from prism_core.rest.snippets import Sample
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
    query: str = ""
    samples: Mapping[str, str] = attrs.field(factory=dict)
    texts: Mapping[str, str] = attrs.field(factory=dict)
    errors: Mapping[str, str] = attrs.field(factory=dict)
    trial: Trial | None = None
    remarks: tuple[str, ...] = ()


def view_of(version: VersionInfo, place: Place, *, filled: bool = False) -> View:
    """Return the page of ``version``, its form empty or ``filled`` with an example."""
    view = View(
        name=version.model,
        version=version.version,
        created=version.created,
        ready=version.state == "READY",
        state=version.state,
        description=version.description,
        signature=signature_of(version),
        form=None,
        place=place,
    )
    return _with_form(view, view.signature, filled) if view.signature else view


def _with_form(view: View, signature: Signature, filled: bool) -> View:
    form = form_of(signature)
    row, body = samples(form), example(signature)
    return attrs.evolve(
        view,
        form=form,
        samples=row,
        texts=row if filled else {},
        example=json.dumps(body, ensure_ascii=False) if body is not None else "",
        query=query_of(signature),
        requests=_requests(view.place, sample(signature)),
    )


def with_trial(view: View, trial: Trial) -> View:
    """Return the page with what came of a row that somebody tried."""
    asked = trial.question
    requests = _requests(view.place, asked.sample) if asked and asked.sample else view.requests
    remarks = _remarks(view, trial)
    return attrs.evolve(
        view, trial=trial, texts=trial.texts, errors=trial.errors, requests=requests, remarks=remarks
    )


def _requests(place: Place, body: Sample) -> tuple[tuple[str, str], ...]:
    ways = (("curl", snippets.curl), ("Python", snippets.python), ("JavaScript", snippets.javascript))
    return tuple(
        (language, write(place.url, body, place.secret, opens=place.opens)) for language, write in ways
    )


def _remarks(view: View, trial: Trial) -> tuple[str, ...]:
    """Return what is said gently: values that the model has not seen the like of."""
    if view.form is None or trial.row is None:
        return ()
    odd = [
        field.label
        for field, value in zip(view.form.fields, trial.row, strict=True)
        if field.is_beyond(value)
    ]
    if not odd:
        return ()
    named = ", ".join(odd[:5]) + (" …" if len(odd) > 5 else "")
    return (f"Outside of what the model usually sees: {named}. Its answer is a guess there.",)
