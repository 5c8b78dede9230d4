"""The servers: PRISM, Triton's front end as pytriton brings it, and the bare hop."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np

from bench.environments import python
from bench.ours import prepare_uncached, serve_prism
from bench.peers import PEERS_AT
from bench.protocols.forms import Form
from bench.protocols.subjects import Subject
from bench.servers import HERE, Place, Running, Server, free_port


@attrs.frozen
class Host:
    """A server that runs, and the port of its gRPC listener."""

    running: Running
    grpc_port: int

    def url(self, form: Form, model: str) -> str:
        """Return where a form asks for a model; its servers differ in how they call it."""
        base = "/".join(self.running.url.split("/")[:3])
        if form.grpc:
            base = f"http://127.0.0.1:{self.grpc_port}"
        return base + form.path.format(model=model)


def json_body(tensor: str) -> Any:
    """Return how to write rows as a tensor of that name: the first request, until it is answered."""

    def write(rows: list[list[float]]) -> str:
        array = np.array(rows)
        told = {"name": tensor, "shape": array.shape, "datatype": "FP32", "data": array.ravel().tolist()}
        return json.dumps({"inputs": [told]})

    return write


def prism(subject: Subject, grpc_port: int) -> Server:
    """Return PRISM as `prism serve` makes it of a file, without its cache."""

    def command(place: Place) -> Sequence[object]:
        return (*serve_prism(place), "--grpc-port", grpc_port)

    return Server(
        "PRISM",
        command,
        "/v2/models/{model}/infer",
        prepare=prepare_uncached,
        body=json_body(subject.tensor),
        labels=lambda answer: [],
    )


def pytriton(subject: Subject, grpc_port: int) -> Server:
    """Return Triton's front end, REST and gRPC, before a process that runs the graph."""
    app = PEERS_AT / "pytriton" / "tensors.py"
    return Server(
        "pytriton",
        lambda place: (python("pytriton"), app, place.file, place.model, place.port, grpc_port),
        "/v2/models/{model}/infer",
        body=json_body(subject.tensor),
        labels=lambda answer: [],
        peer="pytriton",
        package="nvidia-pytriton",
    )


def hop(subject: Subject, grpc_port: int) -> Server:
    """Return two processes that only hand the bytes over."""
    return bare(subject, "bare hop", lambda place: ())


def hop_model(subject: Subject, grpc_port: int) -> Server:
    """Return the same with the graph in the second process."""
    return bare(subject, "bare hop, with the model", lambda place: (place.file,))


def bare(subject: Subject, name: str, more: Callable[[Place], Sequence[object]]) -> Server:
    """Return `bench/ceilings/hop.py`, which takes bodies of the subject's size and no other."""
    app, size = HERE / "ceilings" / "hop.py", subject.rows.astype(np.float32).nbytes
    return Server(
        name,
        lambda place: (sys.executable, app, place.port, size, *more(place)),
        body=lambda rows: "\0" * size,
        labels=lambda answer: [],
        fixed=True,
    )


SERVERS = {"PRISM": prism, "pytriton": pytriton, "bare hop": hop, "bare hop, with the model": hop_model}


def made(name: str, subject: Subject) -> tuple[Server, int]:
    """Return a server for a subject, and the port where its gRPC will listen."""
    port = free_port()
    return SERVERS[name](subject, port), port
