"""``prism freeze``: whole files, and none on a terminal."""

import contextlib
import os

import click
import httpx
import pytest

from prism_core.cli.client import AdminClient
from prism_core.cli.commands import freeze as command
from prism_core.errors import PrismError

CHURN = {"model": "churn", "aliases": {"latest": 3, "champion": 2}, "versions": [{"version": 3}]}


@pytest.fixture
def served(monkeypatch, answering):
    """Let a server answer with a bundle; return the paths that it was asked for."""
    paths = []

    def answer(request):
        paths.append(request.url.path.removeprefix("/admin/v1"))
        if not request.url.path.endswith("bundle"):
            return httpx.Response(200, json=CHURN)
        return httpx.Response(200, content=iter([b"bun", b"dle"]), headers={"content-length": "6"})

    monkeypatch.setattr(command, "admin", lambda common: contextlib.nullcontext(answering(answer)))
    return paths


@pytest.mark.parametrize(
    ("reference", "version"), [("churn", 3), ("churn@champion", 2), ("churn/1", 1), ("churn --version 1", 1)]
)
def test_a_version_is_written_to_stdout_and_nothing_else(prism, served, reference, version):
    done = prism("freeze", *reference.split())

    assert done.exit_code == 0, done.output
    assert done.stdout_bytes == b"bundle"
    assert served[-1] == f"/models/churn/versions/{version}/bundle"
    assert f"churn/{version} is frozen" in done.stderr


def test_a_file_is_as_readable_as_any_other(prism, served, tmp_path):
    prism("freeze", "churn", "-o", "churn.prism")
    (tmp_path / "plain").touch()

    assert (tmp_path / "churn.prism").read_bytes() == b"bundle"
    assert (tmp_path / "churn.prism").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_json_tells_the_file(prism, served):
    done = prism("freeze", "churn", "-o", "churn.prism", "--json")

    assert done.stdout == '{"model": "churn", "version": 3, "file": "churn.prism", "size_bytes": 6}\n'


def test_json_without_a_file_is_refused(prism, served):
    done = prism("freeze", "churn", "--json")

    assert (done.exit_code, served) == (2, [])
    assert "prism freeze churn -o FILE" in done.stderr


def test_a_terminal_gets_no_bytes(served):
    """Asked of a real one."""
    leader, follower = os.openpty()
    with (
        os.fdopen(leader, "rb"),
        os.fdopen(follower, "w") as terminal,
        contextlib.redirect_stdout(terminal),
        pytest.raises(click.UsageError, match="A bundle is a file"),
    ):
        command.freeze.main(["churn"], standalone_mode=False)
    assert served == []


def test_what_breaks_off_leaves_no_file_and_keeps_the_old_one(prism, monkeypatch, served, tmp_path):
    (tmp_path / "churn.prism").write_bytes(b"old")

    @contextlib.contextmanager
    def broken(self, *args):
        raise PrismError("The connection broke.")
        yield

    monkeypatch.setattr(AdminClient, "stream", broken)
    done = prism("freeze", "churn", "-o", "churn.prism")

    assert done.exit_code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["churn.prism"]
    assert (tmp_path / "churn.prism").read_bytes() == b"old"


def test_a_directory_that_is_not_there(prism, served):
    done = prism("freeze", "churn", "-o", "missing/churn.prism")

    assert done.exit_code == 1
    assert "No such file or directory" in done.stderr
