"""What extensions are opened with."""

from contextlib import AsyncExitStack, asynccontextmanager

import attrs
import pytest

from prism_core.converters import named
from prism_core.gateway.extensions import Openings
from prism_core.specs import IsolationBackend


@attrs.frozen
class Named:
    namespace: str = ""
    data_dir: str = ""


@asynccontextmanager
async def opened(config):
    yield config


@pytest.mark.parametrize(("given", "namespace"), [({}, "server-1"), ({"namespace": "team"}, "team")])
async def test_a_backend_with_a_namespace_is_given_the_servers_id(given, namespace):
    backend = IsolationBackend("toy", open=opened, config=Named)
    async with AsyncExitStack() as stack:
        openings = Openings({"toy": backend}, "isolation backend", {"toy": given}, stack, "server-1")

        assert (await openings.get("toy")).namespace == namespace


@pytest.mark.parametrize(
    ("given", "place"), [({}, "/var/lib/prism"), ({"data_dir": "/elsewhere"}, "/elsewhere")]
)
def test_what_keeps_something_is_given_the_data_directory(given, place):
    assert named(Named(**given), "s", "/var/lib/prism").data_dir == place
