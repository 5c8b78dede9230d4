"""Models that are unloaded and woken again, whichever gateway their calls come through."""

from __future__ import annotations

import time

from prism_core.testing.server import ServerProcess
from tests.integration.gateways.conftest import factor, predict, to_each
from tests.integration.gateways.load import load, wait_until


def loaded(server: ServerProcess, model: str = "m") -> bool:
    return bool(server.json("show", model)["replicas"])


def unloaded(server: ServerProcess) -> int:
    return server.log.read_text().count('"event":"model.unloaded"')


def test_a_call_through_either_wakes_a_model(make_server, models):
    server = make_server()
    server.upload(models / "3.pkl", "--name", "m", "--min-replicas", "0", "--idle-unload", "0.5")
    with to_each(server) as clients:
        for client in (*clients.values(), *clients.values()):
            wait_until(lambda: not loaded(server))
            assert factor(client) == 3


def test_calls_through_a_follower_keep_a_model_loaded(make_server, models):
    """It is idle for the leader only."""
    server = make_server()
    server.upload(models / "3.pkl", "--name", "m", "--min-replicas", "0", "--idle-unload", "2")
    with to_each(server) as clients:
        _, follower = clients.values()
        assert factor(follower) == 3
        before = unloaded(server)
        ends = time.monotonic() + 5
        while time.monotonic() < ends:
            assert factor(follower, headers={"cache-control": "no-store"}) == 3
            time.sleep(0.05)

    assert unloaded(server) == before
    wait_until(lambda: unloaded(server) > before)


def test_unloading_all_the_time_fails_no_call(make_server, models):
    """The model is unloaded after a tenth of a second, and the calls come in bursts."""
    server = make_server()
    server.upload(models / "3.pkl", "--name", "m", "--min-replicas", "0", "--idle-unload", "0.1")
    for burst in range(1, 6):
        with load(server, threads=1) as answers:
            answers.settle(20)
        assert answers.failed == answers.broken == []
        assert {answer.factor for answer in answers.answers} == {3}
        wait_until(lambda burst=burst: unloaded(server) >= burst)


def test_a_model_that_was_not_loaded_at_the_start_is_woken_through_either(make_server, models):
    server = make_server()
    server.upload(models / "3.pkl", "--name", "m", "--no-preload")
    server.stop()
    server.start()
    with to_each(server) as clients:
        assert not loaded(server)
        _, follower = clients.values()
        assert factor(follower) == 3


def test_a_call_that_waits_for_memory_in_vain_is_told_so_by_either(make_server, models):
    first = make_server()
    first.upload(models / "1.pkl", "--name", "m", "--pin")
    first.upload(models / "2.pkl", "--name", "n")
    needed = sum(first.json("show", name)["replicas"][0]["memory_bytes"] for name in ("m", "n"))
    first.stop()

    config = f"{{memory: {{hard_limit: {needed * 3 // 4}}}, limits: {{hold_s: 1}}}}"
    with (
        ServerProcess(first.data_dir, "--gateways", "2", config=config) as server,
        to_each(server) as clients,
    ):
        for client in clients.values():
            answer = predict(client, reference="n")
            assert (answer.status_code, answer.json()["code"]) == (507, "insufficient_memory")
            assert answer.json()["details"]["holders"][0]["version"] == "m/1"
            assert factor(client) == 1
