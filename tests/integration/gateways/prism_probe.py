"""A plugin of tests: a model that takes its time, a guard, an observer and a face of its own."""

import asyncio
import json
import os
import time
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np

from prism_core.plugin import (
    BaseModel,
    Batch,
    Forbidden,
    Frontend,
    Guard,
    Loader,
    Observer,
    Signature,
    TensorSpec,
    hookimpl,
)


class Sleeper(BaseModel):
    """Sleeps as long as it is told, or until there is a file ``enough``; answers a multiple of it."""

    signature = Signature(
        (TensorSpec("seconds", "FP64", (-1,)),), (TensorSpec("predictions", "FP64", (-1,)),)
    )

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def predict(self, inputs: Batch) -> Batch:
        seconds = float(np.max(inputs["seconds"]))
        if seconds >= 1:
            Path("begun").touch()  # in the replica's own directory
        ends = time.monotonic() + seconds
        while time.monotonic() < ends and not Path("enough").exists():
            time.sleep(0.01)
        return Batch({"predictions": inputs["seconds"] * self.factor})

    def example(self) -> Batch:
        return Batch({"seconds": np.zeros(1)})


def load(artifact, options) -> Sleeper:
    return Sleeper(float(artifact.path.read_text()))


@hookimpl
def prism_loaders():
    # Not deterministic: a request that is lost is not asked again, so that a test sees it.
    yield Loader("sleeper", (".sleep",), lambda a: float(a.suffix == ".sleep"), load, deterministic=False)


class Door:
    """Refuses whoever says so, and tells where the caller sits."""

    def check(self, call) -> None:
        if "x-refuse" in call.headers:
            raise Forbidden(f"Not {call.client}, by process {os.getpid()}.")


@asynccontextmanager
async def open_door(config):
    yield Door()


@hookimpl
def prism_guards():
    yield Guard("door", open=open_door)


class Diary:
    """Writes the number of records and the process down."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def observe(self, records) -> None:
        with self.path.open("a") as file:
            file.write(f"{os.getpid()} {len(records)}\n")


@asynccontextmanager
async def open_diary(config):
    yield Diary(Path(os.environ["PROBE_DIARY"]))


@hookimpl
def prism_observers():
    yield Observer("diary", open=open_diary)


async def face(scope, receive, send) -> None:
    """Answer who asks and what the body is; ``/probe/endless`` sends a line now and then until it is left."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    headers = [(b"x-probe", b"1"), (b"x-probe", b"2")]
    await send({"type": "http.response.start", "status": 207, "headers": headers})
    if scope["path"].endswith("endless"):
        await lines(receive, send)
        return
    told = {
        "client": scope["client"],
        "method": scope["method"],
        "path": scope["raw_path"].decode(),
        "query": scope["query_string"].decode(),
        "headers": [[name.decode(), value.decode()] for name, value in scope["headers"]],
        "body": body.decode(),
        "pid": os.getpid(),
    }
    await send({"type": "http.response.body", "body": json.dumps(told).encode()})


async def lines(receive, send) -> None:
    leaving = asyncio.ensure_future(receive())
    while not leaving.done():
        await send({"type": "http.response.body", "body": b"line\n", "more_body": True})
        await asyncio.wait({leaving}, timeout=0.02)
    Path(os.environ["PROBE_DIARY"]).with_name("left").touch()


@hookimpl
def prism_frontends():
    @asynccontextmanager
    async def open_face(config, host):
        yield face

    yield Frontend("probe", open=open_face, path="/probe")
