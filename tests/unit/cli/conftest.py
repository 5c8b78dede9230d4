import httpx
import pytest
from click.testing import CliRunner

from prism_core.cli.app import app
from prism_core.cli.client import Address, AdminClient


@pytest.fixture
def prism(tmp_path, monkeypatch):
    """Run a command line in a directory of its own, where no server runs."""
    monkeypatch.chdir(tmp_path)
    for name in ("PRISM_DATA_DIR", "PRISM_SERVER", "PRISM_TOKEN", "PRISM_KEY"):
        monkeypatch.delenv(name, raising=False)

    def run(*args, **options):
        arguments = [str(arg) for arg in args]
        return CliRunner().invoke(app, [*arguments, "--data-dir", str(tmp_path / "data")], **options)

    return run


@pytest.fixture
def answering():
    """Make a client whose server is a function of the request."""

    def make(answer, address=None):
        return AdminClient(address or Address("http://prism", "secret"), httpx.MockTransport(answer))

    return make
