"""A good client beside the hostile ones: it asks all the time, and each of its answers must be right."""

from __future__ import annotations

import contextlib
import json
import random
import threading
from collections.abc import Iterator

import attrs
import httpx
import numpy as np

from tests.hostile.drafts import HEADER


@attrs.define
class Neighbour:
    """What a good client has had so far: how many right answers, and which others."""

    answers: int = 0
    faults: list[str] = attrs.field(factory=list)
    first: threading.Event = attrs.field(factory=threading.Event)
    _stop: threading.Event = attrs.field(factory=threading.Event)

    def run(self, url: str) -> None:
        """Ask until it is stopped: ``line`` in three forms, with other numbers each time."""
        chance = random.Random(0)
        with httpx.Client(base_url=url, timeout=60) as client:
            while not self._stop.is_set() and not self.faults:
                x, y = chance.randrange(1000), chance.randrange(1000)
                for form in (_native, _json, _raw):
                    answer = form(client, x, y)
                    if answer.status_code != 200 or abs(_first(answer) - (2 * x + 3 * y)) > 1e-6:
                        self.faults.append(f"{answer.status_code} {answer.content!r} to {form} {x}, {y}")
                    self.answers += 1
                    self.first.set()

    def stop(self) -> None:
        """Ask no more."""
        self._stop.set()


@contextlib.contextmanager
def beside(url: str) -> Iterator[Neighbour]:
    """Let a good client ask while the block runs."""
    neighbour = Neighbour()
    thread = threading.Thread(target=neighbour.run, args=(url,))
    thread.start()
    try:
        assert neighbour.first.wait(30), "The good client had no answer at all."
        yield neighbour
    finally:
        neighbour.stop()
        thread.join()


def _native(client: httpx.Client, x: int, y: int) -> httpx.Response:
    return client.post("/model/line/predict", json={"input": [[x, y]]})


def _json(client: httpx.Client, x: int, y: int) -> httpx.Response:
    tensor = {"name": "input", "shape": [1, 2], "datatype": "FP64", "data": [x, y]}
    return client.post("/v2/models/line/infer", json={"inputs": [tensor]})


def _raw(client: httpx.Client, x: int, y: int) -> httpx.Response:
    told = {"name": "input", "shape": [1, 2], "datatype": "FP64", "parameters": {"binary_data_size": 16}}
    head = json.dumps({"inputs": [told], "parameters": {"binary_data_output": True}}).encode()
    body = head + np.array([x, y], "<f8").tobytes()
    return client.post("/v2/models/line/infer", content=body, headers={HEADER: str(len(head))})


def _first(answer: httpx.Response) -> float:
    """Return the first number of an answer."""
    if length := answer.headers.get(HEADER):
        return float(np.frombuffer(answer.content[int(length) :], "<f8")[0])
    told = answer.json()
    return float(told["predictions"][0] if "predictions" in told else told["outputs"][0]["data"][0])
