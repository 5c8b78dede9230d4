"""A peer's environment is there once and for all, and its functions answer."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from bench import environments
from tests.peers.peers import Client, Failed, python

SCRIPT = """
import sys
print("noise")

def double(value):
    print("more noise")
    return {"doubled": value * 2, "at": sys.prefix}

def fail():
    raise ValueError("no such tensor")

def leave():
    sys.exit("left")
"""


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    script = tmp_path_factory.mktemp("script") / "script.py"
    script.write_text(SCRIPT)
    with Client("tritonclient", script) as client:
        yield client


def test_a_function_is_called_in_the_peers_environment(client):
    at = python("tritonclient").parents[1]

    assert client.double(value=21) == {"doubled": 42, "at": str(at)}


def test_what_a_function_raises_is_shown(client):
    with pytest.raises(Failed, match="ValueError: no such tensor"):
        client.fail()

    assert client.double(value=1)["doubled"] == 2


def test_a_script_that_ends_is_told_with_its_last_words(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    with Client("tritonclient", script) as client:
        for _ in range(2):
            with pytest.raises(AssertionError, match=r"leave (?s:.+)left"):
                client.leave()


def test_an_environment_is_made_once_by_all_who_want_it(tmp_path, monkeypatch):
    uv = tmp_path / "uv"
    uv.write_text(f'#!/bin/sh\necho "$1" >> {tmp_path}/log\nmkdir -p {tmp_path}/place\n')
    uv.chmod(0o755)
    monkeypatch.setattr(environments, "UV", str(uv))
    requirements = tmp_path / "requirements.txt"
    for text in ("tomli==2.0.1\n", "tomli==2.0.2\n"):
        requirements.write_text(text)
        with ThreadPoolExecutor() as many:
            list(many.map(lambda _: environments.make(tmp_path / "place", requirements), range(4)))

    assert (tmp_path / "log").read_text().split() == ["venv", "pip", "venv", "pip"]


def test_where_nothing_can_be_installed_uvs_words_are_told(tmp_path, monkeypatch):
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("tomli==2.0.1\n")

    with pytest.raises(environments.NotInstalled, match="is there a network") as failed:
        environments.make(tmp_path / "place", requirements)

    assert "tomli" in str(failed.value)
    with pytest.raises(environments.NotInstalled):
        environments.make(tmp_path / "place", requirements)
