"""A plugin with a protocol of its own: ``POST /toy/MODEL`` with ``id:1,2,3`` is answered ``id:2,4,6``."""

import json
import struct
from contextlib import asynccontextmanager

import numpy as np

from prism_core.plugin import (
    NAME,
    Answer,
    Batch,
    Dialect,
    Frontend,
    MalformedBody,
    Normalizer,
    PrismError,
    Request,
    Signature,
    hookimpl,
)

MEDIA_TYPE = "application/x-toy"
# Of an answer, for the gateway: whether it was asked for in a hurry.
PREFIX = struct.Struct("<?")


def normalize(body: memoryview, signature: Signature, request: Request) -> Batch:
    name, _, values = bytes(body).partition(b":")
    try:
        rows = np.array(values.split(b","), float)[:, None]
    except ValueError:
        raise MalformedBody("These are no numbers.", hint="Send id:1,2,3.") from None
    return Batch({signature.inputs[0].name: rows}, reply=(name, request.parameters["hurry"] == "yes"))


def encode(answer: Answer) -> bytes:
    name, hurry = answer.reply
    values = answer.outputs.tensors[answer.signature.predictions]
    return PREFIX.pack(hurry) + name + b":" + b",".join(b"%d" % value for value in np.rint(values))


def read(headers):
    return f"{MEDIA_TYPE};hurry={'yes' if 'x-toy-hurry' in headers else 'no'}"


def write(body):
    hurry = b"x-toy-hurry: yes\r\n" if PREFIX.unpack_from(body)[0] else b""
    return b"content-type: text/x-toy\r\n" + hurry, memoryview(body)[PREFIX.size :]


def problem(error: PrismError):
    told = f"{error.code} {error.details.get('error_id', '')} {error.message}"
    return "text/x-toy-problem", told.encode("utf-8", "replace")


DIALECT = Dialect(
    "toy",
    rf"/toy/(?P<model>{NAME}(?:@{NAME})?)(?:/(?P<version>{NAME}))?",
    accept=MEDIA_TYPE,
    read=read,
    write=write,
    problem=problem,
    extensions=("hurry",),
)
NORMALIZER = Normalizer(MEDIA_TYPE, normalize, encode)


@asynccontextmanager
async def open_toy(config, host):
    async def app(scope, receive, send):
        """Tell what there is; predict with whatever is asked for."""
        path = scope["path"].removeprefix("/toys").strip("/")
        if path:
            answer = await host.predict(
                path, b"web:21", media_type=f"{MEDIA_TYPE};hurry=no", accept=MEDIA_TYPE
            )
            told = bytes(answer.body[PREFIX.size :])
        else:
            served = host.served(host.caller(scope))
            told = json.dumps([[one.model, one.version, one.ready, one.aliases] for one in served]).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": told})

    yield app


@hookimpl
def prism_normalizers():
    yield NORMALIZER


@hookimpl
def prism_dialects():
    yield DIALECT


@hookimpl
def prism_frontends():
    yield Frontend(
        "toys",
        open=open_toy,
        path="/toys",
        asks=lambda path: path.removeprefix("/toys").strip("/"),
        problem=problem,
    )
