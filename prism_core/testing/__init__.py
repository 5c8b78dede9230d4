"""Contract suites and honest fakes, for the tests of plugins and of the core itself.

A suite is a class of tests to inherit. Say what is tested, and pytest runs the rest::

    from prism_core.testing import LoaderContract

    class TestMean(LoaderContract):
        plugin = prism_mean

        def artifact(self, directory):
            path = directory / "tiny.mean"
            path.write_text("2.5")
            return path

        def inputs(self):
            return Batch({"x": np.array([[1.0], [2.0]])})

        def expected(self):
            return {"predictions": np.array([2.5, 5.0])}

The suites need pytest; those of what the gateway opens (`CacheContract`, `RateStoreContract`,
`LinkContract`, `TunnelContract`, `IsolationContract`) need pytest-asyncio too.
"""

import pytest

# Before they are imported: a failing contract shows both sides of its comparison.
pytest.register_assert_rewrite(
    "prism_core.testing.caches",
    "prism_core.testing.dialects",
    "prism_core.testing.isolation",
    "prism_core.testing.links",
    "prism_core.testing.loaders",
    "prism_core.testing.normalizers",
    "prism_core.testing.rates",
    "prism_core.testing.tensors",
    "prism_core.testing.walls",
)

from prism_core.testing.caches import CacheContract  # noqa: E402 - after the line above, see there
from prism_core.testing.dialects import DialectContract  # noqa: E402
from prism_core.testing.fakes import Clock, Doubler, Picky, Short, Slow  # noqa: E402
from prism_core.testing.isolation import IsolationContract  # noqa: E402
from prism_core.testing.links import LinkContract, TunnelContract  # noqa: E402
from prism_core.testing.loaders import LoaderContract  # noqa: E402
from prism_core.testing.normalizers import NormalizerContract  # noqa: E402
from prism_core.testing.rates import RateStoreContract  # noqa: E402
from prism_core.testing.tensors import assert_fits, assert_same  # noqa: E402
from prism_core.testing.walls import WallContract  # noqa: E402

__all__ = [
    "CacheContract",
    "Clock",
    "DialectContract",
    "Doubler",
    "IsolationContract",
    "LinkContract",
    "LoaderContract",
    "NormalizerContract",
    "Picky",
    "RateStoreContract",
    "Short",
    "Slow",
    "TunnelContract",
    "WallContract",
    "assert_fits",
    "assert_same",
]
