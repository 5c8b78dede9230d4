"""Models are uploaded, and answer through every backend alike."""

from __future__ import annotations

import asyncio
import io

import httpx
import numpy as np
import pytest

from prism_core.errors import PrismError
from tests.integration.backends.prism_told import FAIL, NOTHING, SLEEP
from tests.integration.backends.scene import FRESH, Model, are_gone, until


@pytest.fixture(scope="module")
def model(server, artifact) -> Model:
    server.upload(artifact(2), "--name", "double")
    return Model(server, "double")


def test_an_uploaded_model_answers(model, backend):
    response = model.ask((1, NOTHING, 0), (2.5, NOTHING, 0))

    assert response.json()["predictions"] == [2, 5]
    shown = model.version()
    assert (shown["isolation"], shown["state"]) == (backend.name, "READY")
    (replica,) = shown["replicas"]
    assert replica["state"] == "READY"
    assert replica["sandbox"]  # whatever it is, it says how it is shut in


def test_a_model_may_be_a_directory_and_its_name_long(server, artifact, tmp_path):
    """Names are part of paths, of which those of sockets are short."""
    directory = tmp_path / "weights"
    directory.mkdir()
    artifact(9).rename(directory / "told.json")

    assert server.send(directory, "n" * 64).factor == 9


def test_a_large_body_has_a_large_answer(model):
    """Two megabytes, which come in several pieces."""
    rows = np.zeros((100_000, 3))
    rows[:, 0] = np.arange(len(rows))
    file = io.BytesIO()
    np.save(file, rows)

    headers = {"content-type": "application/x-npy", "accept": "application/x-npy"}
    response = httpx.post(model.url, content=file.getvalue(), headers=headers, timeout=60)

    np.testing.assert_array_equal(np.load(io.BytesIO(response.content)), rows[:, 0] * 2)


async def test_requests_that_wait_are_answered_together(model):
    async with httpx.AsyncClient(timeout=60, headers=FRESH) as client:

        async def ask(number, deed=NOTHING):
            return await client.post(model.url, json={"input": [[number, deed, 0.3]]})

        answers = await asyncio.gather(ask(0, SLEEP), *(ask(number) for number in range(1, 20)))

    assert [answer.json()["predictions"] for answer in answers] == [[2 * n] for n in range(20)]
    assert max(int(answer.headers["x-prism-batch"]) for answer in answers) > 5


def test_a_row_that_fails_fails_alone(model):
    (before,) = model.pids()

    response = model.do(FAIL, 7)

    assert (response.status_code, response.json()["code"]) == (500, "model_failed")
    assert model.factor == 2
    assert model.pids() == [before]
    assert "told to fail with 7" in model.logs()


def test_two_replicas_are_two_processes(server, artifact):
    model = server.send(artifact(3), "pair", replicas=2)

    assert len(set(model.pids())) == 2
    assert model.factor == 3


def test_a_version_that_is_stopped_answers_what_was_begun(server, artifact, meanwhile):
    """Its replica is drained, not killed; the next version answers what comes meanwhile."""
    model = server.send(artifact(4), "changing")
    old = model.processes()
    begun = meanwhile(model.do, SLEEP, 1.5)
    until(lambda: "Asleep" in model.logs())
    server.send(artifact(5), "changing")

    server.call("POST", "/models/changing/stop", query={"version": 1})

    assert model.factor == 5
    assert begun.result().json()["predictions"] == [4]
    assert are_gone(old)


def test_a_model_that_does_not_load_tells_its_owner_why(server, artifact):
    with pytest.raises(PrismError, match="no such weights") as told:
        server.send(artifact(6, refuses="no such weights"), "broken")

    assert told.value.code == "model_load_failed"


def test_a_removed_model_leaves_nothing_running(server, artifact):
    model = server.send(artifact(7), "gone")
    processes = model.processes()

    server.run("remove", "gone", "--yes")

    assert are_gone(processes)
    assert model.do(NOTHING).status_code == 404


@pytest.mark.sweep
def test_models_run_with_the_packages_that_they_ask_for(server, artifact):
    """Two releases side by side; the factor is what the model sees of its own."""
    releases = ("2.0.1", "2.0.2")
    models = [
        server.send(artifact(8, package="tomli"), f"tomli-{one}", requirements=[f"tomli=={one}"])
        for one in releases
    ]

    assert [model.factor for model in models] == [201, 202]
