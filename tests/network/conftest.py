"""An internet for the tests of a module; without root they are skipped, and say how to run them."""

from __future__ import annotations

import json
from contextlib import ExitStack

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from tests.network import peers
from tests.network.internet import internet
from tests.network.peers import Laptop
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


@pytest.fixture(scope="module")
def relay(net, tmp_path_factory):
    """PRISM's relay, where everybody can reach it."""
    with peers.relay(net.relay, tmp_path_factory.mktemp("relay") / "data") as made:
        yield made


@pytest.fixture(scope="module")
def sshd(net, tmp_path_factory):
    """An OpenSSH server beside it."""
    with peers.sshd(net.relay, tmp_path_factory.mktemp("sshd")) as made:
        yield made


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A directory with ``2.pkl`` to ``4.pkl``: each multiplies by its number."""
    directory = tmp_path_factory.mktemp("models")
    x = np.arange(4.0).reshape(-1, 1)
    for factor in range(2, 5):
        joblib.dump(LinearRegression().fit(x, x[:, 0] * factor), directory / f"{factor}.pkl")
    return directory


@pytest.fixture(scope="module")
def make_laptop(net, relay, sshd, models, tmp_path_factory):
    """Start a laptop in a home, with a model ``m`` that multiplies, and all that its tunnels need to know."""
    with ExitStack() as stack:

        def make(config: str = "", home: int = 0, factor: int = 2) -> Laptop:
            plugins = {"relay": {"join": relay.join(f"laptop{home}")}, "ssh": sshd.config}
            told = {"models": {"m": {"path": str(models / f"{factor}.pkl")}}, "plugins": plugins}
            text = "".join(f"{name}: {json.dumps(value)}\n" for name, value in told.items()) + config
            directory = tmp_path_factory.mktemp("laptop")
            made = stack.enter_context(Laptop(net.homes[home].laptop, directory / "data", config=text))
            made.until_ready("m")
            return made

        yield make


@pytest.fixture(scope="module")
def laptop(make_laptop):
    """The laptop of the first home."""
    return make_laptop()


@pytest.fixture(scope="module")
def by_relay(laptop):
    """A link through the relay."""
    return laptop.share("m", 2, "relay")


@pytest.fixture(scope="module", params=["relay", "ssh"])
def shared(laptop, request):
    """A link through each of the tunnels."""
    return laptop.share("m", 2, request.param)
