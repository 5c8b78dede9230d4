"""A plugin of tests: a link provider that a socket tells what to suffer, a model without a framework."""

import asyncio
import os
from contextlib import asynccontextmanager

from tunnels import Noticing  # beside it, where it is installed

from prism_core.plugin import BaseModel, Batch, LinkProvider, Loader, Signature, TensorSpec, hookimpl


class Doubler(BaseModel):
    signature = Signature((TensorSpec("x", "FP64", (-1,)),), (TensorSpec("y", "FP64", (-1,)),))

    def predict(self, inputs):
        return Batch({"y": inputs["x"] * 2})


@asynccontextmanager
async def commanded(config):
    """Open a forwarder; a line at the socket FORWARDER is what happens to it."""
    forwarder = Noticing()
    commands = {"cut": forwarder.cut, "hang": forwarder.hang.clear}

    async def obey(reader, writer):
        commands[(await reader.readline()).decode().strip()]()
        writer.write(b"done")
        writer.close()

    async with await asyncio.start_unix_server(obey, os.environ["FORWARDER"]):
        yield forwarder


@hookimpl
def prism_link_providers():
    yield LinkProvider("forwarder", open=commanded, tunnel=True)


@hookimpl
def prism_loaders():
    yield Loader("two", (".two",), lambda a: float(a.suffix == ".two"), lambda a, options: Doubler())
