"""Bodies that are packed, gzip and deflate, both ways: HTTP's own, which Triton's clients use."""

from __future__ import annotations

import gzip
import json
import zlib

from prism_oip.conformance.check import RECOMMENDED, REQUIRED, group
from prism_oip.conformance.exchange import Answer, Request, RestSteps, Unmet
from prism_oip.conformance.judging import alike, arrived, equal, inferred, refused, succeeded
from prism_oip.conformance.subject import Subject, asking, model_path, post

check = group("compression")

# An answer is unpacked no further.
MAX_UNPACKED_BYTES = 64 * 1024 * 1024
# An answer of few bytes is better sent as it is: the first of these that a model takes has more.
ROWS = (2048, 64, 8)


def unpacked(answer: Answer) -> Answer:
    """Judge a packed answer; return it as it was before."""
    encoding = arrived(answer).headers.get("content-encoding", "identity").lower()
    if encoding == "identity":
        return answer
    if encoding not in ("gzip", "deflate"):
        raise Unmet("a Content-Encoding that was asked for", encoding)
    try:
        body = zlib.decompressobj(47).decompress(answer.body, MAX_UNPACKED_BYTES)
    except zlib.error as error:
        raise Unmet(f"a body of {encoding}", str(error)) from None
    return Answer(answer.status, answer.headers, body)


def _sent(subject: Subject, body: bytes, encoding: str) -> Request:
    return post(model_path(subject, verb="infer"), body, {"Content-Encoding": encoding})


def _asked(subject: Subject, encoding: str, rows: int = 1) -> Request:
    inputs = [one.repeated(rows) for one in subject.asked()]
    return post(model_path(subject, verb="infer"), asking(inputs), {"Accept-Encoding": encoding})


def _free(subject: Subject) -> bool:
    specs = subject.model.inputs
    return bool(specs) and all(spec.shape and spec.shape[0] == -1 for spec in specs)


def _taken(subject: Subject, encoding: str) -> RestSteps[Answer]:
    """Ask with as many rows as the model takes; return the answer."""
    for rows in ROWS if _free(subject) else ():
        answer = yield _asked(subject, encoding, rows)
        if answer.status == 200:
            return answer
    return (yield _asked(subject, encoding))


@check(RECOMMENDED, "HTTP: Content-Encoding of a request")
def gzip_request(subject: Subject) -> RestSteps[None]:
    """A request packed with gzip is answered as it is unpacked."""
    body = gzip.compress(json.dumps(asking(subject.asked())).encode())
    alike(inferred((yield _sent(subject, body, "gzip"))).outputs, subject.answered(), "packed and not")


@check(RECOMMENDED, "HTTP: Content-Encoding of a request")
def deflate_request(subject: Subject) -> RestSteps[None]:
    """A request packed with deflate is answered as it is unpacked."""
    body = zlib.compress(json.dumps(asking(subject.asked())).encode())
    alike(inferred((yield _sent(subject, body, "deflate"))).outputs, subject.answered(), "packed and not")


@check(RECOMMENDED, "HTTP: Accept-Encoding")
def packed_answer(subject: Subject) -> RestSteps[None]:
    """Who accepts gzip, or deflate, gets an answer of some kilobytes so."""
    for encoding in ("gzip", "deflate"):
        answer = yield from _taken(subject, encoding)
        found = succeeded(answer).headers.get("content-encoding", "none")
        equal(found, encoding, "Content-Encoding")


@check(REQUIRED, "HTTP: Content-Encoding of an answer")
def right_answer(subject: Subject) -> RestSteps[None]:
    """However an answer is packed, it can be unpacked and is the same."""
    for encoding in ("gzip", "deflate", "identity"):
        got = inferred(unpacked(succeeded((yield _asked(subject, encoding)))))
        alike(got.outputs, subject.answered(), "packed and not")


@check(REQUIRED, "HTTP: Content-Encoding of a request")
def unknown_encoding(subject: Subject) -> RestSteps[None]:
    """A packing that nobody knows, or that is not what it says, is refused, not guessed at."""
    refused((yield _sent(subject, b"\x00\x01\x02\x03 not json", "x-kit")))
    refused((yield _sent(subject, b"\x1f\x8b\x08\x00 not gzip", "gzip")))
