"""The sweep: every estimator that scikit-learn lists, served, answers as it does itself.

Once through the loader and the JSON of `prism_core`, in this process; once uploaded to a real
server. `make test-all` runs it; the counts stand in docs/reference/sklearn.md.
"""

from __future__ import annotations

import importlib.util
import json
import pickle
import re
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from prism_core.inputs import prism_normalizers
from prism_core.plugin import Answer, BaseModel, Batch, ModelLoadFailed, Request
from prism_core.runtime.optimizing import job
from prism_core.testing.server import ServerProcess
from prism_sklearn import SklearnOptions, prism_loaders
from prism_sklearn.outputs import METHODS, dense

pytestmark = pytest.mark.sweep

HERE = Path(__file__).parent
DOCS = HERE.parents[2] / "docs" / "reference" / "sklearn.md"


def beside(name: str) -> Any:
    """Load a module beside this one by its path: importlib's import mode has no package for tests."""
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


sweep = beside("sweep_estimators")
twins = beside("twins")

Cases = Mapping[str, Any]
JSON = next(one for one in prism_normalizers() if one.media_type == "application/json")
LOADER = next(iter(prism_loaders()))


@pytest.fixture(scope="module")
def cases() -> Cases:
    """Return every estimator that has an answer and no entry in the table of exceptions, fitted."""
    return {name: sweep.case(name) for name in sweep.served()}


@pytest.fixture
def model(save) -> Callable[[Any], BaseModel]:
    """Pickle an estimator and load it as the runtime does."""

    def load(estimator: Any) -> BaseModel:
        artifact = save(pickle.dumps(estimator))
        assert LOADER.recognises(artifact) >= 0.9
        return LOADER.load(artifact, SklearnOptions())

    return load


def body_of(case: Any) -> dict[str, Any]:
    """Return the JSON body that asks about the case's rows for all that it can answer."""
    return {"input": case.rows}


def ask(model: BaseModel, body: Any, outputs: tuple[str, ...]) -> dict[str, Any]:
    """Return the JSON answer to a JSON body, as a runtime gives it."""
    sent = json.dumps({**body, "outputs": outputs}).encode()
    batch = JSON.normalize(memoryview(sent), model.signature, Request({}, {}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # small data: estimators have much to say
        answered = model.predict(batch)
    return json.loads(JSON.encode(Answer("sweep", 1, answered, model.signature)))


def difference(
    case: Any, answer: Mapping[str, Any], primary: str, outputs: list[str], rtol: float = 1e-9
) -> str:
    """Return "" or how an answer differs from what the estimator says itself."""
    for output in outputs:
        base, _, place = output.partition("_")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wanted = getattr(case.estimator, METHODS[base])(case.direct)
        if isinstance(wanted, list):
            wanted = wanted[int(place)] if place else np.stack(wanted, axis=1)
        key = "predictions" if output == primary else output
        if key not in answer:
            return f"{output} is not answered"
        if not equal(dense(wanted), answer[key], rtol):
            return f"{output}: {str(answer[key])[:80]} instead of {str(wanted)[:80]}"
    return ""


def equal(wanted: np.ndarray[Any, Any], got: Any, rtol: float = 1e-9) -> bool:
    """Tell whether a JSON value holds the same answers."""
    if wanted.dtype.kind != "f":
        return bool(wanted.tolist() == got)
    values = np.array(got, dtype=float)
    return values.shape == wanted.shape and np.allclose(
        values, wanted, rtol=rtol, atol=rtol / 1000, equal_nan=True
    )


def missing(case: Any, names: list[str]) -> list[str]:
    """Return the methods of the estimator that are no output, other than those that the table excuses."""
    methods = [name for name, method in METHODS.items() if hasattr(case.estimator, method)]
    kept = [name for name in methods if (case.name, name) not in sweep.UNANSWERED]
    return [name for name in kept if not any(one.partition("_")[0] == name for one in names)]


def test_every_listed_estimator_is_accounted_for():
    assert {*sweep.served(), *sweep.EXCEPTIONS, *sweep.SILENT} == set(sweep.names())


@pytest.mark.parametrize("name", sweep.SILENT)
def test_what_has_no_answer_says_so(model, name):
    with pytest.raises(ModelLoadFailed) as raised:
        model(sweep.case(name).estimator)
    assert raised.value.hint


def test_every_estimator_answers_as_itself(cases, model):
    wrong = {}
    for name, case in cases.items():
        served = model(case.estimator)
        names = [spec.name for spec in served.signature.outputs]
        answer = ask(served, body_of(case), tuple(names))
        wrong[name] = difference(case, answer, served.signature.predictions, names) or missing(case, names)

    assert {name: what for name, what in wrong.items() if what} == {}


def test_every_estimator_answers_one_row_as_it_does_many(cases, model):
    wrong = {}
    for name, case in cases.items():
        served = model(case.estimator)
        if not served.signature.batch_axis:  # declared to depend on the other rows
            continue
        together = ask(served, body_of(case), ())["predictions"]
        alone = [ask(served, {"input": [row]}, ())["predictions"][0] for row in case.rows]
        near = np.asarray(together).dtype.kind == "f"
        # A product of a matrix and a vector is summed in another order than that of two matrices.
        if not (np.allclose(alone, together, rtol=1e-6, atol=1e-8) if near else alone == together):
            wrong[name] = (alone, together)

    assert wrong == {}


def test_signatures_tell_the_shape_of_every_answer(cases, model):
    wrong = []
    for name, case in cases.items():
        served = model(case.estimator)
        batch = JSON.normalize(
            memoryview(json.dumps(body_of(case)).encode()), served.signature, Request({}, {})
        )
        for tensor in batch.tensors.values():
            tensor.flags.writeable = False  # as a body in binary arrives
        for spec in served.signature.outputs:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                values = served.predict(Batch(batch.tensors, (spec.name,)))[spec.name]
            if (spec.dtype, spec.shape) != (values.dtype, (-1, *values.shape[1:])):
                wrong.append((name, spec, values.dtype, values.shape))

    assert wrong == []


def test_every_estimator_is_served_over_http(cases, tmp_path):
    """One server; each estimator is uploaded as ``.pkl``, asked, and removed."""
    wrong = {}
    with ServerProcess(tmp_path / "data") as server, httpx.Client(timeout=60) as client:
        for name, case in cases.items():
            wrong[name] = through(server, client, case)

    assert {name: what for name, what in wrong.items() if what} == {}


def through(server: ServerProcess, client: httpx.Client, case: Any) -> str:
    """Upload a case, ask about its rows, remove it; return "" or what was wrong."""
    admin = f"{server.facts['admin']}/admin/v1"
    bearer = {"Authorization": f"Bearer {(server.data_dir / 'admin-token').read_text().strip()}"}
    upload = json.dumps({"filename": f"{case.name.lower()}.pkl"})
    sent = client.post(
        f"{admin}/upload", params={"spec": upload}, content=pickle.dumps(case.estimator), headers=bearer
    )
    last = json.loads(sent.text.splitlines()[-1])
    if last.get("event") != "done":
        return f"upload: {sent.text[-500:]}"
    version = last["version"]
    try:
        names = [spec["name"] for spec in version["signature"]["outputs"]]
        answer = client.post(version["url"], json={**body_of(case), "outputs": names})
        if answer.status_code != 200:
            return f"{answer.status_code}: {answer.text[:300]}"
        return difference(case, answer.json(), version["signature"]["primary"] or names[0], names)
    finally:
        client.delete(f"{admin}/models/{version['model']}", headers=bearer)


def test_the_documentation_has_the_counts(cases):
    """The numbers in the reference are those of this scikit-learn."""
    import sklearn

    text = re.sub(r"\s+", " ", DOCS.read_text())
    able = [n for n, c in cases.items() if any(hasattr(c.estimator, METHODS[m]) for m in sweep.JUDGED)]

    assert f"{len(able)} of {len(able) + len(sweep.EXCEPTIONS)}" in text
    assert f"scikit-learn {sklearn.__version__}" in text
    assert all(f"`{name}`" in text for name in (*sweep.EXCEPTIONS, *sweep.SILENT))


def test_the_documentation_has_the_count_of_twins(cases, tmp_path, monkeypatch):
    """How many have a twin that agrees, whether or not it is faster; and each twin does agree."""
    monkeypatch.setattr(job, "measure", twins.faster)
    kept = {}
    for name, case in cases.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            converted = twins.convert(tmp_path / name, case.estimator)
        assert converted.report.state in ("served", "kept"), (name, converted.report.reason)
        if converted.form is None:
            kept[name] = converted.report.reason
            continue
        names = [spec.name for spec in converted.twin.signature.outputs]
        answer = ask(converted.twin, body_of(case), tuple(names))
        wrong = difference(case, answer, converted.twin.signature.predictions, names, rtol=1e-5)
        assert not wrong, (name, wrong)
    without = [name for name, reason in kept.items() if "no converter" in reason]

    text = re.sub(r"\s+", " ", DOCS.read_text())
    told = (
        f"**{len(cases) - len(kept)} of {len(cases)}** have a twin that agrees; {len(without)} of the others"
    )
    assert told in text, (told, kept)
