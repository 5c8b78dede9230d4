"""One way in and one way out for every media type, as the runtime calls them."""

import json

import numpy as np
import pytest

from prism_core.inputs import prism_normalizers
from prism_core.plugin import Answer, Batch, InvalidInput, Request, Signature, TensorSpec

NORMALIZERS = {one.media_type: one for one in prism_normalizers()}


@pytest.fixture(scope="session")
def read():
    """Return a function that reads a body: bytes as they are, everything else as JSON."""

    def read(body, signature, media_type="application/json", options=None, **parameters):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = Request(parameters, options or {})
        return NORMALIZERS[media_type].normalize(memoryview(body), signature, request)

    return read


@pytest.fixture(scope="session")
def write():
    """Return a function that writes outputs; the first is the primary one."""

    def write(outputs, media_type="application/json", style="prism", classes=(), primary=""):
        specs = tuple(TensorSpec(name, "FP64", (-1,)) for name in outputs)
        signature = Signature((), specs, classes=classes, primary=primary)
        answer = Answer("churn", 3, Batch(outputs), signature, style)
        return NORMALIZERS[media_type].encode(answer)

    return write


@pytest.fixture(scope="session")
def faults(read):
    """Return a function that reads a bad body and gives its faults as (row, column) pairs."""

    def faults(*args, **named):
        with pytest.raises(InvalidInput) as caught:
            read(*args, **named)
        return [(one["row"], one["column"]) for one in caught.value.details["errors"]]

    return faults


@pytest.fixture(scope="session")
def same():
    """Return a function that says whether two sets of tensors are equal in name, type and value."""

    def same(left, right):
        if list(left) != list(right):
            return False
        return all(
            left[k].dtype == right[k].dtype
            and np.array_equal(left[k], right[k], equal_nan=left[k].dtype != object)
            for k in left
        )

    return same
