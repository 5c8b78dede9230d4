"""A laptop far away, on a bad line: 200 ms there and back, and every fiftieth packet is lost."""

from __future__ import annotations

import io

import numpy as np
import pytest

from tests.network.internet import internet
from tests.network.stranger import VALUES, hammering, visiting

pytestmark = pytest.mark.sweep

DELAY_MS, LOSS = 100, 0.02
# What such a line carries in some seconds: TCP sends about 60 KB/s over it.
ROWS = 20_000
NPY = "application/x-npy"


@pytest.fixture(scope="module")
def net(places):
    with internet(delay_ms=DELAY_MS, loss=LOSS) as made:
        yield made


def npy(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def test_predictions_come(net, shared):
    with visiting(net.stranger, shared) as visit:
        for _ in range(5):
            value = next(VALUES)
            assert visit.predict(shared, value).is_right(value, shared.factor)


def test_many_strangers_at_once(net, shared):
    with hammering(net.stranger, shared, threads=8) as hammer:
        while sum(fate.right for fate in hammer.fates) < 100:
            hammer.answered(0.0)

    assert set(hammer.outcomes()) == {"200 right"}


def test_large_bodies_both_ways(net, shared, laptop):
    values = np.random.default_rng(0).normal(size=(ROWS, 1))
    headers = {**shared.headers, "Content-Type": NPY, "Accept": NPY}
    with visiting(net.stranger, shared) as visit:
        found = visit.ask("POST", visit.parts.path, npy(values), headers)

    assert found.status == 200, found
    assert np.allclose(np.load(io.BytesIO(found.body)).ravel(), values.ravel() * shared.factor)
    assert all(one["state"] == "up" for one in laptop.admin("GET", "/tunnels")["tunnels"])


def test_a_body_that_is_streamed(net, shared):
    """In chunks, as a client does that does not know the length beforehand."""
    values = np.random.default_rng(1).normal(size=(ROWS // 4, 1))
    data = npy(values)
    pieces = (data[at : at + 4000] for at in range(0, len(data), 4000))
    with visiting(net.stranger, shared) as visit:
        headers = {**shared.headers, "Content-Type": NPY, "Accept": NPY, "Transfer-Encoding": "chunked"}
        visit.request("POST", visit.parts.path, pieces, headers, encode_chunked=True)
        found = visit.getresponse()
        answer = found.read()

    assert found.status == 200, answer
    assert np.allclose(np.load(io.BytesIO(answer)).ravel(), values.ravel() * shared.factor)
