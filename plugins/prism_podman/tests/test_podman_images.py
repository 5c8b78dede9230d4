"""Real images: a base of this interpreter, environments on it, in a store that is the tests' own."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
from click.testing import CliRunner

from prism_core.cli.app import app
from prism_core.environments.closure import closure
from prism_core.environments.wheels import installed, repack
from prism_core.plugin import Environment, EnvironmentFailed, Pin
from prism_podman.commands.prune import removed
from prism_podman.config import PodmanConfig
from prism_podman.engine import Engine, open_engine
from prism_podman.host.interpreter import ask, interpreter_of
from prism_podman.host.making import from_host
from prism_podman.ids import IMAGE_OWNER
from prism_podman.images import bases, store
from prism_podman.images.containerfile import ENVIRONMENT, KIND, LAYERS, OWNER
from prism_podman.images.ensuring import Images, images_of, owner_of
from prism_podman.machine import missing
from prism_podman.service import answers, command, environment, kill_group

pytestmark = [
    pytest.mark.podman,
    pytest.mark.system,
    pytest.mark.sweep,
    pytest.mark.skipif(bool(missing()), reason=missing() or "-"),
]
PYTHON = Path(sys.executable)
VERSION = platform.python_version()


def ignore(_: str) -> None:
    """Be told, and do nothing."""


@pytest.fixture(scope="module")
def podman(tmp_path_factory) -> Iterator[str]:
    """Return the URL of a Podman with nothing in it: what the others begin with is not touched."""
    # In memory where programs may run there: thousands of small files, for a minute.
    place = Path("/dev/shm")
    fits = place.is_dir() and not os.statvfs(place).f_flag & os.ST_NOEXEC
    root = Path(tempfile.mkdtemp(prefix="prism-test-", dir=place if fits else tmp_path_factory.getbasetemp()))
    url = f"unix://{root}/s"
    words = list(command(url))
    after = 1 + next(number for number, word in enumerate(words) if word.endswith("podman"))
    own = ["--root", f"{root}/images", "--runroot", f"{root}/run", "--storage-driver", "overlay"]
    whole = [*words[:after], *own, *words[after:]]
    with subprocess.Popen(whole, cwd="/", env=environment(os.environ), start_new_session=True) as process:
        while not answers(url):
            assert process.poll() is None
            time.sleep(0.01)
        yield url
        kill_group(process)  # asked to end, it waits for connections that are kept
    # Its files belong to users whom only Podman may be.
    within = [] if os.geteuid() == 0 else [words[after - 1], "unshare"]
    remove = 'umount "$0/images/overlay" 2>/dev/null; rm -rf "$0"'
    subprocess.run([*within, "sh", "-c", remove, str(root)], cwd="/", check=True)


@asynccontextmanager
async def engine_of(url: str):
    async with open_engine(PodmanConfig(socket=url)) as engine:
        yield engine


@pytest.fixture(scope="module")
def base(podman) -> str:
    """Make the base image of this interpreter; return its id."""

    async def make() -> str:
        async with engine_of(podman) as engine:
            owner = owner_of(engine.facts)
            return (await engine.call(lambda client: from_host(client, PYTHON, owner, ignore))).id

    return asyncio.run(make())


@pytest.fixture
async def engine(podman, base):
    async with engine_of(podman) as opened:
        yield opened


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Environment:
    """What a runtime needs of this interpreter's packages."""
    wheel = repack(installed("prism-core"), tmp_path_factory.mktemp("wheels"))
    pins = closure({"prism-core": ""}, {"prism-core": str(wheel.path)})
    return Environment("server", str(PYTHON), VERSION, pins)


@pytest.fixture(scope="module")
def own(whole) -> Environment:
    """The same without numpy, which is nine tenths of it."""
    return attrs.evolve(whole, key="small", pins=tuple(pin for pin in whole.pins if pin.name != "numpy"))


@pytest.fixture
def images(engine) -> Images:
    return images_of(engine, PodmanConfig(namespace="me"))


async def run(engine: Engine, image: str, program: str, **options) -> str:
    """Return what a program prints in a container that can do as little as a model's."""

    def once(client):
        container = client.containers.create(
            image,
            ["-c", program],
            entrypoint=["python3"],
            network_mode="none",
            read_only=True,
            cap_drop=["ALL"],
            log_config={"Type": "json-file"},
            ulimits=[
                {"Name": "nofile", "Soft": 1024, "Hard": 1024},
                {"Name": "nproc", "Soft": 64, "Hard": 64},
            ],
            **options,
        )
        try:
            container.start()
            code = container.wait(condition=["stopped", "exited"], interval="20ms")
            said = b"".join(container.logs()).decode()
            assert code == 0, said
            return said.strip()
        finally:
            container.remove(force=True)

    return await engine.call(once)


# --- the base -------------------------------------------------------------------------------

STANDARD_LIBRARY = """
import asyncio, bz2, csv, ctypes, datetime, decimal, hashlib, json, lzma, multiprocessing, os, pickle, pwd
import sqlite3, ssl, subprocess, sys, uuid, zlib, zoneinfo
assert ssl.create_default_context().get_ca_certs(), "no authorities"
summer = datetime.datetime(2026, 7, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))
assert summer.utcoffset().seconds == 7200
assert sqlite3.connect(":memory:").execute("select 1").fetchone() == (1,)
for name in ("libpthread.so.0", "libgcc_s.so.1", "libstdc++.so.6", "libgomp.so.1"):
    ctypes.CDLL(name)
assert not any(os.path.exists(f"{place}/sh") for place in ("/bin", "/usr/bin"))
assert json.__cached__ and os.path.isfile(json.__cached__)
assert sys.getfilesystemencoding() == "utf-8"
print(os.getuid(), pwd.getpwuid(os.getuid()).pw_name, sys.prefix)
"""


async def test_a_base_holds_all_that_the_standard_library_needs(engine, base):
    assert await run(engine, base, STANDARD_LIBRARY, user="10001:10001") == "10001 prism /usr/local"


async def test_a_base_tells_what_is_in_it_and_that_is_so(engine, base):
    found = await engine.call(lambda client: bases.described(client, "base", store.expected(client, base)))
    said = interpreter_of(await engine.call(lambda client: bases.asked(client, "base", base)))

    here = ask(PYTHON)
    assert (found.python_version, found.libc) == (said.version, said.libc) == (here.version, here.libc)
    assert found.python == str(said.executable)


async def test_a_base_does_not_tell_where_it_was_made(engine, base):
    program = "import json, sysconfig; print(json.dumps(sysconfig.get_config_vars(), default=str))"
    prefix = str(ask(PYTHON).prefix)

    variables = json.loads(await run(engine, base, program))

    if prefix not in ("/usr", "/usr/local"):
        assert prefix not in json.dumps(variables["prefix"]) + json.dumps(variables["LIBDIR"])


# --- images of environments -----------------------------------------------------------------


async def test_two_who_ask_at_once_get_one_image_that_is_made_once(images, whole, engine):
    heard = []
    first, second = await asyncio.gather(*(images.ensure(whole, heard.append) for _ in range(2)))

    assert first.tag == second.tag
    assert sorted((first.built, second.built)) == [False, True]
    assert sum(text.startswith("Handing") for text in heard) == 1
    program = (
        "import numpy, prism_core.runtime, os; print(numpy.__version__, os.path.isfile(numpy.__cached__))"
    )
    version = next(pin.version for pin in whole.pins if pin.name == "numpy")
    assert await run(engine, first.tag, program) == f"{version} True"


async def test_it_is_not_made_again_also_by_another_process(podman, base, own, images):
    made = await images.ensure(own)
    async with engine_of(podman) as other:
        again = await images_of(other, PodmanConfig(namespace="me")).ensure(own, pytest.fail)

    assert (again.tag, again.built) == (made.tag, False)


async def test_another_server_has_its_own_of_the_same_layers(images, own, engine):
    made = await images.ensure(own)
    heard = []
    others = await images_of(engine, PodmanConfig(namespace="you")).ensure(own, heard.append)

    mine, yours = [
        (await engine.call(lambda client, tag=tag: store.expected(client, tag))).beneath.layers
        for tag in (made.tag, others.tag)
    ]
    assert (mine, made.tag != others.tag) == (yours, True)
    assert heard == ["Handing 0 MB over to Podman"]


async def test_an_environment_with_one_package_less_shares_what_lies_below(images, whole, engine):
    made = await images.ensure(whole)
    part = attrs.evolve(whole, key="part", pins=tuple(pin for pin in whole.pins if pin.name != "orjson"))
    heard = []
    fewer = await images.ensure(part, heard.append)

    below, above = [
        (await engine.call(lambda client, tag=tag: store.expected(client, tag))).beneath.layers
        for tag in (made.tag, fewer.tag)
    ]
    assert below[:2] == above[:2]  # the base, and numpy
    assert [text for text in heard if text.startswith("Packing")] == [heard[0]]


async def test_one_that_is_given_up_leaves_nothing_and_can_be_made_then(
    images, own, engine, tmp_path, monkeypatch
):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    given_up = attrs.evolve(own, key="given-up", pins=own.pins[:-1])
    packing = asyncio.Event()
    making = asyncio.create_task(images.ensure(given_up, lambda _: packing.set()))
    await packing.wait()
    making.cancel()
    with pytest.raises(asyncio.CancelledError):
        await making

    assert (await images.ensure(given_up)).built
    assert not list(tmp_path.glob("prism-image-*"))
    labels = [one.labels.get(ENVIRONMENT) for one in await engine.call(store.labelled)]
    assert labels.count("given-up") == 1


async def test_a_layer_that_went_meanwhile_is_packed_again(images, own, engine, monkeypatch):
    await images.ensure(own)
    gone = {key: f"sha256:{'0' * 64}" for key in await engine.call(store.known_layers)}
    monkeypatch.setattr(store, "known_layers", lambda client: gone)

    made = await images.ensure(attrs.evolve(own, key="again"))

    assert made.built
    assert "attr" in await run(engine, made.tag, "import attr; print(attr.__name__)")


async def test_what_an_image_of_others_says_of_its_layers_is_not_believed(engine, base):
    def pretend(client):
        labels = {KIND: "environment", LAYERS: "key=sha256:00"}
        store.relabelled(
            client, "registry.example/others:1", store.expected(client, base).beneath, {}, labels
        )
        return store.known_layers(client)

    assert "key" not in await engine.call(pretend)


async def test_a_base_that_belongs_to_others_is_copied_once_for_users_without_root(engine, base, own):
    def foreign(client):
        stored = from_host(client, PYTHON, 0, ignore)
        store.relabelled(client, "localhost/foreign:1", attrs.evolve(stored.beneath, config={}), {}, {})

    await engine.call(foreign)
    config = PodmanConfig(namespace="me", base_image="localhost/foreign:1")
    images, heard = Images(engine, config, IMAGE_OWNER), []
    made = await images.ensure(own, heard.append)
    again = await Images(engine, config, IMAGE_OWNER).ensure(own, heard.append)

    assert sum("so that containers of all models can share it" in text for text in heard) == 1
    assert made.tag == again.tag
    program = "import os, sys; print({os.stat(p).st_uid for p in (sys.executable, os.__file__, '/etc')})"
    assert await run(engine, made.tag, program) == str({IMAGE_OWNER})
    labels = (await engine.call(lambda client: store.expected(client, made.tag))).labels
    assert labels[OWNER] == str(IMAGE_OWNER)


# --- what is wrong --------------------------------------------------------------------------


async def test_a_base_that_cannot_be_had_is_said_with_a_way_out(engine, own):
    images = images_of(engine, PodmanConfig(namespace="me", base_image="registry.invalid/none:1"))

    with pytest.raises(EnvironmentFailed) as caught:
        await images.ensure(own)

    assert "registry.invalid/none:1 is not here and cannot be fetched" in caught.value.message
    assert "prism podman base --from-host" in caught.value.hint


async def test_a_base_of_another_python_is_said(engine, base, own):
    config = PodmanConfig(namespace="me", base_image=f"localhost/prism-base:3.{sys.version_info.minor}")
    other = attrs.evolve(own, python_version="3.99.1")

    with pytest.raises(EnvironmentFailed, match=r"has Python .*; the environment 'small' needs 3\.99"):
        await images_of(engine, config).ensure(other)


async def test_a_package_that_is_not_installed_is_said_before_anything_is_made(images, own, engine):
    other = attrs.evolve(own, pins=(*own.pins, Pin("no-such-package", "1.0")))

    with pytest.raises(EnvironmentFailed, match=r"no-such-package 1\.0"):
        await images.ensure(other)


async def test_a_full_disk_is_said_with_a_way_out(engine, base, own, monkeypatch):
    def full(client, parts, name):
        with store.told("loading", name):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "load", full)

    with pytest.raises(EnvironmentFailed) as caught:
        await images_of(engine, PodmanConfig(namespace="full")).ensure(own)

    assert "prism podman prune" in caught.value.hint


# --- the command line -----------------------------------------------------------------------


@pytest.fixture
def prism(podman, base, own, tmp_path, monkeypatch):
    """Run `prism podman` for a data directory whose server has had one environment."""
    data = tmp_path / "data"
    (data / "environments").mkdir(parents=True)
    (data / "environments" / "server-1.json").write_bytes(own.to_json())
    (data / "server-id").write_text("told")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CONTAINER_HOST", podman)

    def call(*arguments):
        result = CliRunner().invoke(app, ["podman", *arguments, "--json", "--data-dir", str(data)])
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    call.data = data
    return call


def test_an_image_is_made_listed_and_removed_when_nothing_needs_it(prism):
    made = prism("build", "--environment", "server-1")
    kept = prism("prune")
    listed = prism("images")
    (prism.data / "environments" / "server-1.json").unlink()
    would = prism("prune", "--dry-run")
    went = prism("prune")

    assert (made["built"], kept) == (True, [])
    assert [one["own"] for one in listed if one["image"] == made["image"]] == [True]
    assert [one["image"] for one in would] == [one["image"] for one in went] == [made["image"]]
    assert made["image"] not in [one["image"] for one in prism("images")]


def test_a_base_is_made_and_one_that_it_replaces_goes_when_nothing_begins_with_it(prism):
    before = {one["id"] for one in prism("images") if one["kind"] == "base"}
    first = prism("base", "--from-host")
    second = prism("base", "--from-host")
    went = {one["id"] for one in prism("prune")}

    assert f"localhost/prism-base:3.{sys.version_info.minor}" in second["tags"]
    assert second["python"] == VERSION
    assert first["id"] in went | before
    assert second["id"] not in went


async def test_nothing_goes_that_a_container_uses(images, own, engine):
    made = await images.ensure(own)

    def use_and_prune(client):
        container = client.containers.create(made.tag, ["none"])
        try:
            nowhere = Path("/nowhere")
            return removed(client, PodmanConfig(namespace="me"), images.owner, nowhere, False)
        finally:
            container.remove(force=True)

    gone = await engine.call(use_and_prune)

    assert any(one.stays and made.tag in one.image.tags for one in gone)
    assert (await images.ensure(own)).built is False


@pytest.mark.skipif(shutil.which("podman") is None, reason="needs the program podman (`apt install podman`)")
def test_what_another_program_builds_of_a_containerfile_is_the_same(prism, podman, tmp_path):
    prism("build", "--environment", "server-1", "--context", str(tmp_path / "context"))
    file = tmp_path / "context" / "Containerfile"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([f"FROM localhost/prism-base:3.{sys.version_info.minor}", *lines[1:]]))
    build = [
        "podman",
        "--remote",
        "--url",
        podman,
        "build",
        "--network=none",
        "-q",
        "-t",
        "localhost/other:1",
    ]
    subprocess.run([*build, str(tmp_path / "context")], cwd="/", check=True, capture_output=True)

    async def look() -> str:
        async with engine_of(podman) as engine:
            return await run(engine, "localhost/other:1", "import attr, prism_core; print(attr.__name__)")

    assert asyncio.run(look()) == "attr"
