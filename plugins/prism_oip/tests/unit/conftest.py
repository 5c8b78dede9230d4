"""One way in and one way out for the protocol's bodies, as the runtime calls them."""

import json

import pytest

from prism_core.plugin import Answer, Batch, PrismError, Request, Signature, TensorSpec
from prism_oip.media import PREFIX
from prism_oip.reading import rest as reading
from prism_oip.writing import rest as writing


@pytest.fixture(scope="session")
def read():
    """Return a function that reads a request, with raw bytes behind its JSON where there are any."""

    def read(said, signature, *raw, **parameters):
        head = said if isinstance(said, bytes) else json.dumps(said).encode()
        if raw:
            parameters.setdefault("header", str(len(head)))
        body = memoryview(b"".join((head, *raw)))
        return reading.normalize(body, signature, Request(parameters, {}))

    return read


@pytest.fixture(scope="session")
def refused(read):
    """Return a function that reads a bad request and gives the error."""

    def refused(*args, **named):
        with pytest.raises(PrismError) as caught:
            read(*args, **named)
        return caught.value

    return refused


@pytest.fixture(scope="session")
def write():
    """Return a function that writes outputs; it gives the document, and what stands raw behind it."""

    def write(outputs, reply=None):
        specs = tuple(TensorSpec(name, "FP64", (-1,)) for name in outputs)
        answer = Answer("churn", 3, Batch(outputs), Signature((), specs), reply=reply)
        body = writing.encode(answer)
        header_bytes, packing = PREFIX.unpack_from(body)
        assert not packing
        body = body[PREFIX.size :]
        header_bytes = header_bytes or len(body)
        return json.loads(body[:header_bytes]), body[header_bytes:]

    return write
