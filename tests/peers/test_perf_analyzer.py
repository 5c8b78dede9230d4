"""NVIDIA's perf_analyzer, the program, asks PRISM as it asks Triton, whose answers it reads thoroughly.

Its wheel is for glibc 2.38 and newer. Elsewhere `.ci/libc` brings one for it alone.
"""

from __future__ import annotations

import csv
import platform
import subprocess
import sys

import httpx
import pytest

from bench import environments
from prism_core.testing.server import ServerProcess
from tests.peers.conftest import GRPC, Served
from tests.peers.peers import CACHE, HERE
from tests.peers.test_one_model import made

WHEEL = "x86_64-manylinux_2_39"
LIBC = CACHE / "libc"
ASKED = {
    "http": (),
    "http, many from each thread": ("--async",),
    "http, as JSON": ("--input-tensor-format", "json", "--output-tensor-format", "json"),
    "grpc": ("-i", "grpc"),
    "grpc, many from each thread": ("-i", "grpc", "--async"),
    "grpc, one stream": ("-i", "grpc", "--async", "--streaming"),
    "grpc, packed": ("-i", "grpc", "--grpc-compression-algorithm", "gzip"),
    "http, each computed": ("-H", "Cache-Control:no-store"),
    "grpc, each computed": ("-i", "grpc", "-H", "cache-control:no-store"),
}

pytestmark = [pytest.mark.sweep, pytest.mark.system]


@pytest.fixture(scope="module")
def perf_analyzer():
    """The command that runs it."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        pytest.skip("perf_analyzer is there for Linux on x86-64 alone")
    place = CACHE / "perf_analyzer"
    requirements = HERE / "perf_analyzer" / "requirements.txt"
    environments.make(place, requirements, sys.executable, "--python-platform", WHEEL)
    (program,) = place.glob("lib/python3*/site-packages/perf_analyzer/bin/perf_analyzer")
    program.chmod(0o755)
    if tuple(map(int, platform.libc_ver()[1].split("."))) >= (2, 38):
        return [program]
    if not LIBC.exists():
        pytest.skip("perf_analyzer needs glibc 2.38; .ci/libc fetches one")
    return [LIBC / "ld-linux-x86-64.so.2", "--library-path", LIBC, program]


def counted(url: str, model: str) -> dict[str, int]:
    """Return how many requests were answered, and how many not."""
    (found,) = httpx.get(f"{url}/v2/models/{model}/stats").raise_for_status().json()["model_stats"]
    return {key: found["inference_stats"][key]["count"] for key in ("success", "fail")}


@pytest.fixture
def measured(perf_analyzer, tmp_path):
    """Measure a model a moment; return how many inferences it had a second."""

    def measure(*words) -> float:
        report = tmp_path / "report.csv"
        # Three short windows: what is measured is of no matter here. More where the machine was busy.
        load = ["-f", report, "--concurrency-range", "8", "-p", "200", "-s", "999", "-r", "20"]
        command = [*perf_analyzer, *load, *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        (line,) = csv.DictReader(report.read_text().splitlines())
        return float(line["Inferences/Second"])

    return measure


@pytest.mark.parametrize(
    ("model", "asked"),
    [*(("fp32", asked) for asked in ASKED), ("bytes", "http, as JSON"), ("bytes", "grpc"), ("slow", "http")],
)
def test_it_measures_a_model(measured, echoes, model, asked):
    words = ["-m", model, "-u", echoes.url(asked), "--shape", "x:16", "-b", "4", "--input-data", "zero"]
    before = counted(echoes.process.url, model)

    assert measured(*words, *ASKED[asked]) > 0

    after = counted(echoes.process.url, model)
    assert after["success"] > before["success"]
    assert after["fail"] == before["fail"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A server with models as people train them: of numbers, of columns, and of ONNX."""
    directory = tmp_path_factory.mktemp("trained")
    with ServerProcess(directory / "data", *GRPC) as server:
        for name, case in made(directory).items():
            server.upload(case.path, "--name", name)
        yield Served(server)


@pytest.mark.parametrize("asked", ["http", "grpc"])
@pytest.mark.parametrize("model", ["forest", "tree", "table"])
def test_what_a_model_takes_it_reads_from_its_metadata(measured, trained, model, asked):
    words = [
        "-m",
        model,
        "-u",
        trained.url(asked),
        "-b",
        "3",
        "--input-data",
        "zero",
        "--string-data",
        "basic",
    ]

    assert measured(*words, *ASKED[asked]) > 0
    assert counted(trained.process.url, model)["fail"] == 0
