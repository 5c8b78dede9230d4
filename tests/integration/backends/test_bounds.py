"""What a replica uses is measured and bounded, what it prints is kept, and an idle one makes room."""

from __future__ import annotations

import subprocess
import sys

from tests.integration.backends.prism_told import HOLD, NOTHING, SAY
from tests.integration.backends.scene import are_gone, until

MB = 1 << 20


def test_the_memory_of_a_replica_is_shown(server, artifact):
    model = server.send(artifact(2), "measured")
    (before,) = model.replicas()
    assert 0 < before["memory_bytes"] < 400 * MB

    assert model.do(HOLD, 100).status_code == 200

    (after,) = model.replicas()
    assert 90 * MB < after["memory_bytes"] - before["memory_bytes"] < 150 * MB


def test_a_replica_keeps_no_more_memory_than_its_limit(server, artifact):
    """Either the allocation fails or the replica ends, and its owner is told; the model goes on."""
    model = server.send(artifact(3), "limited", memory_limit_bytes=200 * MB)

    answer = model.do(HOLD, 400)

    if answer.json().get("code") == "model_failed":
        assert "MemoryError" in model.logs()
    else:
        until(lambda: [one for one in model.replicas() if "memory" in one["last_loss"]])
    # Another replica may have been asked too, before it was known why the first one ended.
    until(lambda: [one for one in model.replicas() if one["memory_bytes"] < 200 * MB])
    assert model.factor == 3


def test_what_a_model_prints_is_its_log(server, artifact):
    model = server.send(artifact(4), "talking")
    model.do(SAY, 21)
    model.do(SAY, 22)

    said = model.logs()

    assert "A factor of 4." in said
    assert said.index("say 21") < said.index("say 22")
    assert server.run("logs", "talking", "--tail", "1").stdout.count("\n") == 1


def test_a_log_is_followed(server, artifact, tmp_path):
    model = server.send(artifact(5), "followed")
    command = [sys.executable, "-m", "prism_core.cli", "logs", "followed", "--follow"]
    said = tmp_path / "said"
    with (
        said.open("w") as file,
        subprocess.Popen([*command, "--data-dir", str(server.data_dir)], stdout=file) as process,
    ):
        until(lambda: "A factor of 5." in said.read_text())
        model.do(SAY, 23)
        until(lambda: "say 23" in said.read_text())
        process.terminate()


def test_an_idle_model_is_unloaded_and_woken_by_its_next_call(server, artifact):
    model = server.send(artifact(6), "idle", min_replicas=0, idle_unload_s=0.3)
    processes = model.processes()

    until(lambda: not model.version()["replicas"])
    assert are_gone(processes)

    assert model.factor == 6
    assert model.do(NOTHING).status_code == 200
