"""The record: what is set while gRPC's library begins, and is not there for replicas."""

import os

import pytest

from prism_oip.rpc.frontend import VARIABLES, _set


@pytest.fixture(autouse=True)
def _clean(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_variables_are_set_until_it_has_begun():
    with _set(VARIABLES) as unset:
        assert os.environ.items() >= VARIABLES.items()
        unset()
        assert not os.environ.keys() & VARIABLES.keys()


def test_what_the_owner_has_set_stays(monkeypatch):
    monkeypatch.setenv("GRPC_VERBOSITY", "DEBUG")
    with _set(VARIABLES):
        assert os.environ["GRPC_VERBOSITY"] == "DEBUG"

    assert os.environ["GRPC_VERBOSITY"] == "DEBUG"
    assert "GRPC_EXPERIMENTS" not in os.environ
