"""What `prism conformance` finds with servers of others is what the reference says of them."""

from __future__ import annotations

import ctypes.util
import json
import platform
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from bench import environments
from bench.servers import free_port
from prism_core.testing.server import PRISM
from prism_core.types import NUMPY_TYPES
from tests.peers.peers import environment, python

pytestmark = pytest.mark.sweep

HERE = Path(__file__).parent / "conformance"
REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "oip.md"
START_S = 90.0
VERSION = "import sys; print('%d.%d' % sys.version_info[:2])"


@contextmanager
def running(command: Sequence[object], ready: str, log: Path, **more) -> Iterator[None]:
    """Run a server until the block ends; it is there when ``ready`` answers 200."""
    with log.open("wb") as out:
        process = subprocess.Popen([*map(str, command)], stdout=out, stderr=out, env=environment(), **more)
    try:
        end = time.monotonic() + START_S
        while not answers(ready):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(30)


def answers(url: str) -> bool:
    """Return whether a server says 200."""
    try:
        return httpx.get(url, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="module")
def mlserver(tmp_path_factory):
    """MLServer with a classifier of scikit-learn; gives both addresses."""
    place = tmp_path_factory.mktemp("mlserver")
    http, grpc = free_port(), free_port()
    subprocess.run(
        [python("mlserver"), HERE / "train.py", place / "iris.joblib"], env=environment(), check=True
    )
    ports = {"host": "127.0.0.1", "http_port": http, "grpc_port": grpc, "metrics_endpoint": None}
    (place / "settings.json").write_text(json.dumps({**ports, "debug": False, "parallel_workers": 0}))
    tensors = {
        "inputs": [{"name": "predict", "datatype": "FP64", "shape": [-1, 4]}],
        "outputs": [{"name": "predict", "datatype": "INT64", "shape": [-1, 1]}],
    }
    kind = {
        "name": "iris",
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": "./iris.joblib"},
    }
    (place / "model-settings.json").write_text(json.dumps({**kind, **tensors}))
    command = (python("mlserver").with_name("mlserver"), "start", place)
    url = f"http://127.0.0.1:{http}"
    with running(command, f"{url}/v2/models/iris/ready", place / "log", cwd=place):
        yield url, f"127.0.0.1:{grpc}"


@pytest.fixture(scope="module")
def triton(tmp_path_factory):
    """Triton's server with two models; gives both addresses."""
    version = subprocess.check_output(
        [environments.interpreter("pytriton"), "-c", VERSION], text=True
    ).strip()
    if platform.machine() != "x86_64" or not ctypes.util.find_library(f"python{version}"):
        pytest.skip("Triton's server wants Linux on x86_64 and libpython: apt-get install libpython3-dev")
    log = tmp_path_factory.mktemp("triton") / "log"
    http, grpc = free_port(), free_port()
    url = f"http://127.0.0.1:{http}"
    command = (python("pytriton"), HERE / "triton.py", http, grpc)
    with running(command, f"{url}/v2/models/numbers/ready", log):
        yield url, f"127.0.0.1:{grpc}"


@pytest.fixture(scope="module")
def kserve(tmp_path_factory):
    """KServe's server with a model that doubles numbers; gives both addresses."""
    log = tmp_path_factory.mktemp("kserve") / "log"
    http, grpc = free_port(), free_port()
    url = f"http://127.0.0.1:{http}"
    command = (python("kserve"), HERE / "kserve_model.py", http, grpc)
    with running(command, f"{url}/v2/models/numbers/ready", log):
        yield url, f"127.0.0.1:{grpc}"


def asked(server: tuple[str, str], *words: str) -> list[dict]:
    """Run the command; return what became of each check."""
    url, grpc = server
    command = [*PRISM, "conformance", url, "--grpc", grpc, "--json", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)["checks"]


def became(checks: list[dict], state: str) -> set[str]:
    """Return the names of the checks that are of a state with some model; in italics what is recommended."""
    wanted = (one for one in checks if one["state"] == state)
    return {f"*{one['name']}*" if one["level"] == "recommended" else one["name"] for one in wanted}


def told(server: str, state: str) -> set[str]:
    """Return the checks of which the table in the reference says that of a server."""
    section = REFERENCE.read_text().partition("\n## Other servers\n")[2]
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines() if line[:1] == "|"
    ]
    column = rows[0].index(server)
    names: set[str] = set()
    for row in rows[2:]:
        group = ""
        for name in re.findall(r"\*?`[a-z0-9.-]+`\*?", row[0]):
            bare = name.replace("`", "")
            group = bare.strip("*").rpartition(".")[0] or group
            whole = bare if "." in bare else bare.replace(bare.strip("*"), f"{group}.{bare.strip('*')}")
            names |= {whole} if row[column] == state else set()
    return names


def test_mlserver(mlserver):
    checks = asked(mlserver, "--model", "iris")

    assert became(checks, "fails") == told("MLServer", "fails")
    assert became(checks, "holds") >= {
        "infer.flat",
        "infer.nested",
        "infer.id",
        "infer.all-outputs",
        "grpc.typed",
    }
    assert became(checks, "holds") >= told("MLServer", "holds")
    advertised = {one["extension"] for one in checks if one["extension"] and one["state"] != "not offered"}
    assert advertised == set()


def test_what_mlserver_has_and_does_not_advertise(mlserver):
    checks = asked(mlserver, "--model", "iris", "--extension", "model_repository", "--only", "repository")

    assert became(checks, "holds") == {"repository.index", "repository.ready"}


def test_kserve(kserve):
    checks = asked(kserve)

    assert became(checks, "fails") == told("KServe", "fails")
    assert became(checks, "holds") >= told("KServe", "holds") | {
        "infer.flat",
        "infer.id",
        "grpc.typed",
        "grpc.raw",
    }
    assert became(checks, "not offered") >= told("KServe", "-")


@pytest.mark.system
def test_triton(triton):
    checks = asked(triton, "--model", "both", "--model", "numbers")

    assert became(checks, "fails") == told("Triton", "fails")
    assert became(checks, "holds") >= told("Triton", "holds")
    assert became(checks, "not offered") == {"*grpc.reflection*"}


def test_prism_with_models_of_each_datatype(echoes):
    names = [datatype.lower() for datatype in NUMPY_TYPES]
    wanted = [word for name in names for word in ("--model", name)]

    checks = asked((echoes.process.url, echoes.url("grpc")), *wanted)

    assert became(checks, "fails") == set()
    assert {one["model"] for one in checks} == {"", *names}


def test_prism_is_said_to_hold_all():
    assert told("PRISM", "fails") == set()
    assert told("PRISM", "holds") >= told("MLServer", "fails") | told("KServe", "fails")
