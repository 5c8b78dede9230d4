"""An image that serves a model without PRISM around it: built, run with a port, asked, ended."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import pickle
import platform
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import attrs
import httpx
import pytest
from podman import PodmanClient
from sklearn.linear_model import LinearRegression

from prism_core.plugin import Appliance, Environment, EnvironmentFailed, Pin
from prism_podman.commands.exporting import environment_of
from prism_podman.config import PodmanConfig
from prism_podman.engine import open_engine
from prism_podman.host.making import from_host
from prism_podman.images import bases, store
from prism_podman.images.appliances import context, text_of
from prism_podman.images.ensuring import Image, owner_of
from prism_podman.machine import missing

PRISM = [sys.executable, "-c", "from prism_core.cli import main; main()"]
NAME = "localhost/prism-test/line:1"
ROWS = {"input": [[1.0], [2.5]]}
TENSOR = {"inputs": [{"name": "input", "shape": [2, 1], "datatype": "FP64", "data": [1, 2.5]}]}
ULIMITS = [{"Name": name, "Soft": 1024, "Hard": 1024} for name in ("nofile", "nproc")]


def appliance_of(directory: Path) -> Appliance:
    (directory / "artifact").mkdir(parents=True)
    (directory / "artifact" / "model.onnx").write_bytes(b"graph")
    (directory / "spec.json").write_bytes(b"{}")
    return Appliance(
        model="churn/3",
        python_version="3.11.7",
        lock=(("numpy", "2.1.0"),),
        distributions=("prism-core",),
        name="localhost/prism/churn:3",
        files=directory,
        root="/prism",
        arguments=("-m", "prism_core.runtime"),
        probe=("-c", "1"),
        user=10001,
        port=8080,
        variables={"PORT": "8080", "ODD": 'a"$b\\'},
        labels={"prism.model": "churn/3", "prism.image": "environment"},
    )


def test_what_a_build_is_given(tmp_path):
    appliance = appliance_of(tmp_path)
    entries = {
        entry.name: entry for entry in context(appliance, Image("localhost/e:1", "/usr/bin/python3", "b"))
    }
    lines = entries["Containerfile"].text.splitlines()

    assert entries.keys() == {
        *("Containerfile", "files/artifact", "files/artifact/model.onnx", "files/spec.json"),
    }
    assert lines[:2] == ["FROM localhost/e:1", "COPY files /prism"]
    assert 'ENV ODD="a\\"\\$b\\\\"' in lines
    assert 'LABEL prism.image="export"' in lines  # nobody's environment: `prune` leaves it
    assert 'ENTRYPOINT ["/usr/bin/python3", "-m", "prism_core.runtime"]' in lines
    assert not any(line.startswith("RUN") for line in lines)


def test_nothing_of_the_machine_is_in_a_containerfile(tmp_path):
    assert str(tmp_path) not in text_of(appliance_of(tmp_path), Image("localhost/e:1", "python", "b"))


def test_the_environment_is_the_one_that_the_version_was_frozen_with(tmp_path):
    appliance = appliance_of(tmp_path)
    core, numpy = Pin("prism-core", "0.1.0", wheel="core.whl"), Pin("numpy", "2.1.0")
    right = Environment("abc", "python", "3.11.2", (core, numpy))
    others = [
        attrs.evolve(right, pins=(core,)),
        attrs.evolve(right, pins=(core, Pin("numpy", "2.1.1"))),
        attrs.evolve(right, pins=(core, numpy, Pin("prism-onnx", "0.1.0", wheel="onnx.whl"))),
        attrs.evolve(right, python_version="3.12.1"),
    ]

    assert environment_of(appliance, [*others, right]) is right
    with pytest.raises(EnvironmentFailed, match="not in this data directory"):
        environment_of(appliance, others)


# --- with a Podman ---------------------------------------------------------------------------


def prism(*words, url: str, data: Path) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PRISM")}
    command = [*PRISM, *map(str, words), "--data-dir", str(data)]
    done = subprocess.run(
        command,
        env=kept | {"CONTAINER_HOST": url},
        capture_output=True,
        text=True,
        timeout=300,
        cwd=data.parent,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextlib.contextmanager
def serving(data: Path):
    words = [
        "serve",
        "--json",
        "--host",
        "127.0.0.1",
        "--port",
        "0",
        "--admin-port",
        "0",
        "--data-dir",
        str(data),
    ]
    with (data.parent / "server.log").open("w") as log:
        process = subprocess.Popen(
            [*PRISM, *words], stdout=subprocess.PIPE, stderr=log, text=True, cwd=data.parent
        )
    try:
        assert process.stdout is not None
        assert process.stdout.readline()
        yield
    finally:
        process.terminate()
        process.communicate(timeout=30)


async def _based(url: str) -> None:
    own = Environment("server", sys.executable, platform.python_version())
    async with open_engine(PodmanConfig(socket=url)) as engine:
        owner = owner_of(engine.facts)
        if not await engine.call(lambda client: bases.present(client, "", own.python_version, owner)):
            await engine.call(lambda client: from_host(client, Path(sys.executable), owner, lambda _: None))


@pytest.fixture
def exported(podman, tmp_path):
    """Export a model's image; yield Podman's client, the archive, and what the server's model answers."""
    asyncio.run(_based(podman))
    data = tmp_path / "data"
    (tmp_path / "line.pkl").write_bytes(pickle.dumps(LinearRegression().fit([[0.0], [1.0]], [1, 3])))
    with serving(data):
        url = json.loads(prism("upload", tmp_path / "line.pkl", "--json", url=podman, data=data))["url"]
        words = ["export", "line", "--image", "--tag", NAME, "-o", tmp_path / "line.tar", "--json"]
        told = json.loads(prism(*words, url=podman, data=data))
        answer = httpx.post(url, json=ROWS).raise_for_status().json()
    assert told == {"model": "line", "version": 1, "image": NAME, "file": str(tmp_path / "line.tar")}
    with PodmanClient(base_url=podman) as client:
        try:
            yield client, tmp_path / "line.tar", answer
        finally:
            store.remove(client, NAME)


@contextlib.contextmanager
def run(client, **options):
    """Run the image with a port of this machine, as anybody does; yield the container and its URL."""
    container = client.containers.create(
        NAME,
        ports={"8080/tcp": ("127.0.0.1", 0)},
        ulimits=ULIMITS,
        labels={"prism.test": "export"},
        **options,
    )
    try:
        container.start()
        container.reload()
        port = container.attrs["NetworkSettings"]["Ports"]["8080/tcp"][0]["HostPort"]
        yield container, f"http://127.0.0.1:{port}"
    finally:
        container.remove(force=True, v=True)


def until_ready(container, url: str) -> None:
    for _ in range(600):
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/v2/health/ready", timeout=30).status_code == 200:
                return
        container.reload()
        assert container.status == "running", b"".join(container.logs())
        time.sleep(0.05)
    raise AssertionError("it is not ready")


@pytest.mark.podman
@pytest.mark.system
@pytest.mark.sweep
@pytest.mark.skipif(bool(missing()), reason=missing() or "-")
def test_an_image_serves_a_model_alone(exported):
    client, archive, expected = exported
    with run(client, environment={"PRISM_TOKEN": "secret"}) as (container, url):
        until_ready(container, url)
        headers = {"authorization": "Bearer secret"}
        answer = httpx.post(f"{url}/predict", json=ROWS, headers=headers)
        refused = httpx.post(f"{url}/predict", json=ROWS)
        second = httpx.post(
            f"{url}/v1/models/line:predict", json={"instances": ROWS["input"]}, headers=headers
        )
        third = httpx.post(f"{url}/v2/models/line/infer", json=TENSOR, headers=headers)
        who, _out = container.exec_run(["python3", "-c", "import os; os._exit(os.getuid() != 10001)"])
        probed, _out = container.exec_run(client.images.get(NAME).attrs["Healthcheck"]["Test"][1:])
        container.kill(signal="SIGTERM")
        code = container.wait(condition=["exited", "stopped"])

    assert answer.json()["predictions"] == expected["predictions"] == pytest.approx([3, 6])
    assert second.json() == {"predictions": expected["predictions"]}
    assert third.json()["outputs"][0]["data"] == expected["predictions"]
    assert (refused.status_code, who, probed, code) == (401, 0, 0, 0)
    with tarfile.open(archive) as tar:
        (manifest,) = json.load(io.BytesIO(tar.extractfile("manifest.json").read()))
    assert manifest["RepoTags"] == [NAME]
