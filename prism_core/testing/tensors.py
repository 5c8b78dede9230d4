"""Compare tensors in tests: with each other, and with what a signature promises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from prism_core.types import Batch, TensorSpec, datatype_of


def assert_same(actual: Mapping[str, Any], expected: Mapping[str, Any], *, rtol: float = 1e-5) -> None:
    """Assert that ``actual`` has every tensor of ``expected``, with equal values; floats within ``rtol``."""
    for name, wanted in expected.items():
        assert name in actual, f"There is no {name!r} among {sorted(actual)}."
        one, other = np.asarray(actual[name]), np.asarray(wanted)
        assert one.shape == other.shape, f"{name!r} has shape {one.shape}, expected {other.shape}."
        if one.dtype.kind in "fc" and other.dtype.kind in "fiuc":
            np.testing.assert_allclose(one, other, rtol=rtol, atol=rtol, equal_nan=True, err_msg=name)
        else:
            np.testing.assert_array_equal(one, other, err_msg=name)


def assert_fits(batch: Batch, specs: tuple[TensorSpec, ...]) -> None:
    """Assert that every tensor of ``batch`` is one of ``specs``: known, of its datatype and shape."""
    known = {spec.name: spec for spec in specs}
    for name, tensor in batch.tensors.items():
        assert name in known, f"There is no {name!r} among {sorted(known)}."
        spec = known[name]
        if not isinstance(tensor, np.ndarray):  # a sequence or a map
            continue
        assert datatype_of(tensor.dtype) == spec.datatype, f"{name!r} is {tensor.dtype}, not {spec.datatype}."
        fits = len(tensor.shape) == len(spec.shape) and all(
            promised in (-1, size) for promised, size in zip(spec.shape, tensor.shape, strict=True)
        )
        assert fits, f"{name!r} has shape {tensor.shape}, the signature promises {spec.shape}."
