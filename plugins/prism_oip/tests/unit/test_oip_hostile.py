"""Bodies that were made to cost: refused soon, and with little memory."""

import json
import tracemalloc

import pytest

from prism_core.plugin import PrismError, Request, Signature, TensorSpec
from prism_core.testing.normalizers import in_steps
from prism_oip.reading import rest as reading

SIGNATURE = Signature((TensorSpec("x", "FP32", (-1, 2)),), (TensorSpec("y", "FP32", (-1,)),))
MANY = 30_000


def said(name=b'"x"', shape=b"[1,2]", datatype=b'"FP32"', data=b"[1,2]", more=b""):
    return b'{"name":%b,"shape":%b,"datatype":%b,"data":%b%b}' % (name, shape, datatype, data, more)


def body(*inputs, more=b""):
    return b'{"inputs":[%b]%b}' % (b",".join(inputs), more)


HOSTILE = {
    "many axes": body(said(shape=b"[%b]" % b",".join([b"9223372036854775807"] * MANY))),
    "many axes, and lists as deep": body(
        said(shape=b"[%b]" % b",".join([b"1"] * 900), data=b"[" * 900 + b"1" + b"]" * 900)
    ),
    "lists deeper than any array": body(said(data=b"[" * MANY + b"1" + b"]" * MANY)),
    "lists that only begin": body(said(data=b"[" * MANY)),
    "an axis of many digits": body(said(shape=b"[%b]" % (b"9" * 4000))),
    "the same input many times": body(*[said()] * MANY),
    "many inputs": body(*(said(name=b'"%d"' % n) for n in range(MANY))),
    "an output many times": body(said(), more=b',"outputs":[%b]' % b",".join([b'{"name":"y"}'] * MANY)),
    "spaces before a colon": body(said(more=b',"data"' + b" " * MANY)),
    "spaces between brackets": body(said(data=b"[[1,2]" + b" " * MANY)),
    "a bracket and spaces, again and again": body(said(data=b"[[1" + (b"]" + b" " * 400) * 1000)),
    "a text without end": body(said(datatype=b'"BYTES"', data=b'["' + b"x" * MANY)),
    "quotes and commas": body(said(datatype=b'"BYTES"', data=b"[" + b'",",' * MANY)),
    "words for values": body(said(data=b"[%b]" % b",".join([b'"x"'] * MANY), shape=b"[%d,1]" % MANY)),
}


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=list(HOSTILE))
def test_it_is_refused(hostile):
    """In well under a second each: a test that hangs is ended."""
    view, request = memoryview(hostile), Request({}, {})

    with pytest.raises(PrismError):
        reading.normalize(view, SIGNATURE, request)
    try:
        assert in_steps(reading.normalize_steps(view, SIGNATURE, request)) is None
    except PrismError:
        pass  # it may be told there, too


@pytest.mark.parametrize("count", [2**31, 2**40, 2**62])
def test_what_is_claimed_is_not_made(refused, count):
    claimed = {"name": "x", "shape": [count, 2], "datatype": "BYTES", "parameters": {"binary_data_size": 8}}
    texts = Signature((TensorSpec("x", "BYTES", (-1, 2)),), ())
    tracemalloc.start()
    try:
        error = refused({"inputs": [claimed]}, texts, bytes(8))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert error.status in (400, 413)
    assert peak < 1 << 20


def test_what_is_told_stays_short(refused):
    """Whatever names and values a body has: they are quoted, not sent back."""
    inputs = [json.loads(said(name=json.dumps("n" * 10_000 + str(n)).encode())) for n in range(200)]

    error = refused({"inputs": inputs}, SIGNATURE)

    assert len(error.message) + len(json.dumps(error.details)) < 50_000
