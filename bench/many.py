"""Many isolated models on one machine: memory, latency, cold starts, and a budget for a few of them.

    .venv/bin/python bench/many.py [--models 200] [--requests 10000] [--json FILE]

Half of the models are logistic regressions, half forests of ten trees; no two are alike, and
every answer is compared with the model's own. Memory is the sum of the proportional set
sizes (PSS) of gateway, zygote and replicas, so every page counts once.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import attrs
import joblib
import numpy as np
import psutil
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from prism_core.testing.server import ServerProcess

MB = 1 << 20
CALLERS = 8
COLD_STARTS = 100
WARM_REQUESTS = 3000
BUDGET_MODELS = 20
HEADERS = {"Content-Type": "application/json", "Cache-Control": "no-store"}


@attrs.frozen
class Model:
    """One trained model: its file, and rows with the right answers."""

    name: str
    path: Path
    bodies: list[bytes]
    answers: list[Any]


def train(directory: Path, count: int) -> list[Model]:
    """Train ``count`` different models."""
    models = []
    for number in range(count):
        rng = np.random.default_rng(number)
        x = rng.normal(size=(300, 4 + number % 5))
        y = np.array(["no", "yes"])[(x @ rng.normal(size=x.shape[1]) > 0).astype(int)]
        estimator = RandomForestClassifier(10, random_state=number) if number % 2 else LogisticRegression()
        rows = rng.normal(size=(10, x.shape[1]))
        path = directory / f"m{number}.pkl"
        joblib.dump(estimator.fit(x, y), path)
        bodies = [json.dumps({"input": [row.tolist()]}).encode() for row in rows]
        models.append(Model(f"m{number}", path, bodies, estimator.predict(rows).tolist()))
    return models


class Caller:
    """One keep-alive connection to a server."""

    def __init__(self, server: ServerProcess) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)

    def ask(self, model: Model, number: int) -> float:
        """Return the seconds until the answer, which must be the right one."""
        begun = time.perf_counter()
        self._connection.request("POST", f"/model/{model.name}/predict", model.bodies[number], HEADERS)
        response = self._connection.getresponse()
        body = response.read()
        passed_s = time.perf_counter() - begun
        if response.status != 200 or json.loads(body)["predictions"] != [model.answers[number]]:
            raise AssertionError(f"{model.name}: {response.status} {body[:300]!r}")
        return passed_s


@attrs.frozen
class Admin:
    """The admin API of a server."""

    server: ServerProcess

    def call(self, method: str, path: str, body: bytes | None = None) -> Any:
        """Return the lines of an answer, as JSON."""
        token = (self.server.data_dir / "admin-token").read_text().strip()
        connection = http.client.HTTPConnection(urlsplit(self.server.facts["admin"]).netloc, timeout=120)
        connection.request(method, f"/admin/v1{path}", body, {"Authorization": f"Bearer {token}"})
        lines = connection.getresponse().read().splitlines()
        return [json.loads(line) for line in lines]

    def upload(self, model: Model) -> None:
        """Upload a model."""
        spec = quote(json.dumps({"name": model.name, "filename": model.path.name}))
        *_, last = self.call("POST", f"/upload?spec={spec}", model.path.read_bytes())
        assert last["event"] == "done", last

    def loaded(self) -> set[str]:
        """Return the names of the models that are loaded."""
        (found,) = self.call("GET", "/models")
        return {m["model"] for m in found["models"] if any(v["loaded"] for v in m["versions"])}


def memory(server: ServerProcess) -> tuple[float, int]:
    """Return the PSS of all processes of a server in MB, and how many processes these are."""
    total, count = 0, 0
    for process in server.processes():
        try:
            text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
        except OSError:  # it has just ended
            continue
        total += next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) * 1024
        count += 1
    return total / MB, count


def times_ms(seconds: list[float]) -> dict[str, float]:
    """Return median, 99th percentile and maximum in milliseconds."""
    ordered = sorted(seconds)
    return {
        "p50_ms": round(statistics.median(ordered) * 1000, 2),
        "p99_ms": round(ordered[int(len(ordered) * 0.99)] * 1000, 2),
        "max_ms": round(ordered[-1] * 1000, 2),
    }


def until(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Wait until ``condition`` holds."""
    ends = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < ends, "it took too long"
        time.sleep(0.1)


def everything_loaded(directory: Path, models: list[Model]) -> Iterator[tuple[str, Any]]:
    """All models at once: memory, right answers, a random warm model."""
    with ServerProcess(directory / "all") as server:
        admin, caller = Admin(server), Caller(server)
        admin.upload(models[0])
        server.run("stop", "--all")
        yield "base line, no model loaded, MB", round(memory(server)[0])
        begun = time.perf_counter()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(admin.upload, models))
        yield f"{len(models)} uploads, s", round(time.perf_counter() - begun, 1)
        for model in models:
            for number in range(len(model.bodies)):
                caller.ask(model, number)
        total, processes = memory(server)
        yield "all loaded and asked, MB", round(total)
        yield "processes", processes
        chance = random.Random(0)
        taken = [caller.ask(chance.choice(models), chance.randrange(10)) for _ in range(WARM_REQUESTS)]
        yield "a random warm model", times_ms(taken)
        begun = time.perf_counter()
        server.run("stop", "--all")
        yield "prism stop --all, s", round(time.perf_counter() - begun, 1)
        yield "after prism stop --all, MB", round(memory(server)[0])


def cold_starts(directory: Path, models: list[Model]) -> Iterator[tuple[str, Any]]:
    """A request to an unloaded model, to its answer, one at a time."""
    with ServerProcess(directory / "cold", config="memory: {idle_unload_s: 0.5}") as server:
        admin, caller = Admin(server), Caller(server)
        for kind, chosen in (("logistic regression", models[:20:2]), ("forest", models[1:20:2])):
            for model in chosen:
                admin.upload(model)
            taken = []
            while len(taken) < COLD_STARTS // 2:
                until(lambda: not admin.loaded())
                taken += [caller.ask(model, 0) for model in chosen]
            yield f"cold start, {kind}", times_ms(taken)


def within_a_budget(directory: Path, models: list[Model], requests: int) -> Iterator[tuple[str, Any]]:
    """Requests with a Zipf pattern over all models, and memory for a few of them."""
    with ServerProcess(directory / "size") as server:
        admin = Admin(server)
        admin.upload(models[1])
        (size,) = [r["memory_bytes"] for r in server.json("show", models[1].name)["replicas"]]
    limit = BUDGET_MODELS * size
    config = f"memory: {{hard_limit: {limit}}}"
    with ServerProcess(directory / "budget", config=config) as server:
        admin = Admin(server)
        for model in models:
            admin.upload(model)
        yield f"memory.hard_limit, room for {BUDGET_MODELS}, MB", round(limit / MB)
        before = server.log.read_text().count('"model.loaded"')
        chance = random.Random(1)
        weights = [1 / rank for rank in range(1, len(models) + 1)]
        asked = [(model, chance.randrange(10)) for model in chance.choices(models, weights, k=requests)]
        highest, ended = [0.0], threading.Event()
        watching = threading.Thread(target=watch, args=(server, highest, ended))
        watching.start()
        begun = time.perf_counter()
        with ThreadPoolExecutor(CALLERS) as pool:
            parts = pool.map(lambda part: ask_all(server, part), [asked[n::CALLERS] for n in range(CALLERS)])
            taken = [seconds for part in parts for seconds in part]
        passed_s = time.perf_counter() - begun
        ended.set()
        watching.join()
        yield f"{requests} requests by Zipf, {CALLERS} callers, none failed", times_ms(taken)
        yield "requests/s", round(requests / passed_s)
        yield "of these woke a model", server.log.read_text().count('"model.loaded"') - before
        yield "highest memory meanwhile, MB", round(highest[0])
        server.run("stop", "--all")
        yield "after prism stop --all, MB", round(memory(server)[0])


def ask_all(server: ServerProcess, asked: list[tuple[Model, int]]) -> list[float]:
    """Ask one after the other; return how long each took."""
    caller = Caller(server)
    return [caller.ask(model, number) for model, number in asked]


def watch(server: ServerProcess, highest: list[float], ended: threading.Event) -> None:
    """Keep the highest memory until ``ended``."""
    while not ended.wait(1.0):
        highest[0] = max(highest[0], memory(server)[0])


def main() -> None:
    """Run all scenes and print what they tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=200)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--scenes", default="all,cold,budget")
    arguments = parser.parse_args()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        models = train(directory, arguments.models)
        scenes = {
            "all": lambda: everything_loaded(directory, models),
            "cold": lambda: cold_starts(directory, models),
            "budget": lambda: within_a_budget(directory, models, arguments.requests),
        }
        for scene in arguments.scenes.split(","):
            for what, value in scenes[scene]():
                found[f"{scene}: {what}"] = value
                print(f"{scene:7} {what:60} {value}", flush=True)
    if arguments.json:
        machine = {"cores": psutil.cpu_count(), "memory_mb": psutil.virtual_memory().total // MB}
        arguments.json.write_text(json.dumps({"machine": machine, "found": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
