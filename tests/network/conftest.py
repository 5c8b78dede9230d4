"""An internet for the tests of a module; without root they are skipped, and say how to run them."""

from __future__ import annotations

import pytest

from tests.network.internet import internet
from tests.network.places import missing, remove_leftovers


def pytest_collection_modifyitems(items):
    for item in items:
        if "network" in item.nodeid.split("/"):
            item.add_marker(pytest.mark.system)


@pytest.fixture(scope="session")
def places():
    """Namespaces can be made here, and none of a killed run is left."""
    if reason := missing():
        pytest.skip(reason)
    remove_leftovers()


@pytest.fixture(scope="module")
def net(places):
    """An internet of one home."""
    with internet() as made:
        yield made
