"""What a running server writes down: of requests, of its owner's actions, of a model's failures."""

from __future__ import annotations

import time

import httpx
import pytest

from prism_core.audit import kept_head, read, verify
from prism_core.testing.server import ServerProcess
from tests.integration.gateways.conftest import to_each
from tests.integration.logs.conftest import access_lines, admin_of, entries


def test_ids_and_the_access_log_are_the_same_whichever_gateway_answers(server):
    ids = []
    with to_each(server) as clients:
        for turn, client in enumerate(clients.values()):
            for way, headers in (("short", {}), ("long", {"Expect": "100-continue"})):
                ids.append(f"{way}-{turn}")
                answer = client.post(
                    "/model/shy/predict?a=secret",
                    json={"input": [[1]]},
                    headers={"X-Request-Id": ids[-1], **headers},
                )
                assert (answer.status_code, answer.headers["x-request-id"]) == (200, ids[-1])
            ids.append(f"page-{turn}")
            page = client.get("/model/shy?a=secret", headers={"X-Request-Id": ids[-1]})
            assert page.headers.get_list("x-request-id") == [ids[-1]]

    lines = access_lines(server, *ids)
    for name in ids[0], ids[1], ids[3], ids[4]:
        line = lines[name]
        assert (line["method"], line["path"], line["status"]) == ("POST", "/model/shy/predict", 200)
        assert (line["model"], line["version"], line["address"]) == ("shy", 1, "127.0.0.1")
        assert line["values"] == '{"input":[[1]]}'[:12]
    assert [lines[name]["path"] for name in (ids[2], ids[5])] == ["/model/shy"] * 2
    assert "secret" not in (server.data_dir / "access.log").read_text()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health/live", 200),
        ("GET", "/nowhere", 404),
        ("PUT", "/v1/health", 405),
        ("POST", "/model/nobody/predict", 404),
        ("POST", "/model/leaky/predict", 400),
    ],
)
def test_every_answer_has_an_id_and_a_line(server, public, method, path, status):
    answer = public.request(method, path)
    line = access_lines(server, answer.headers["x-request-id"])[answer.headers["x-request-id"]]

    assert (answer.status_code, line["status"], line["bytes"]) == (status, status, len(answer.content))


def test_values_are_told_of_no_other_model(server, public):
    answer = public.post("/model/leaky/predict", json={"input": [[5]]}, headers={"X-Request-Id": "plain"})

    assert answer.status_code == 200
    assert "values" not in access_lines(server, "plain")["plain"]


def test_answers_of_the_admin_listener_have_ids(admin, server):
    assert admin.get("/admin/v1/models", headers={"X-Request-Id": "a-1"}).headers["x-request-id"] == "a-1"
    refused = httpx.get(f"{server.facts['admin']}/admin/v1/models")
    assert (refused.status_code, len(refused.headers["x-request-id"]) > 10) == (401, True)


@pytest.mark.parametrize("headers", [{}, {"Expect": "100-continue"}])
def test_the_models_log_names_the_request_that_failed(server, public, headers):
    request = f"boom-{len(headers)}"
    answer = public.post(
        "/model/leaky/predict", json={"input": [[-1]]}, headers={"X-Request-Id": request, **headers}
    )
    error_id = answer.json()["error_id"]

    assert answer.status_code == 500
    assert f"request.failed error_id={error_id} request_id={request}" in server.run("logs", "leaky").stdout
    assert f'"request_id":"{request}"' in next(
        line for line in server.log.read_text().splitlines() if error_id in line
    )


def test_what_the_owner_does_is_in_the_audit_log(server, admin, tmp_path):
    (tmp_path / "one.leaky").write_text("whole")
    (tmp_path / "broken.leaky").write_text("broken")
    server.upload(tmp_path / "one.leaky", "--name", "life")
    server.upload(tmp_path / "one.leaky", "--name", "life", "--threads", "2")
    life = "/admin/v1/models/life"
    admin.put(f"{life}/aliases/best", json={"version": 1})
    admin.post(f"{life}/rollback")
    admin.post(f"{life}/stop?version=2")
    admin.post(f"{life}/start?version=2")
    admin.delete(f"{life}/aliases/best")
    server.run("upload", str(tmp_path / "broken.leaky"), "--name", "life", check=False)
    admin.delete(life)

    done = [(e.action, e.subject) for e in entries(server) if e.subject.startswith("life")]
    assert done == [
        ("model.upload", "life/1"),
        ("model.upload", "life/2"),
        ("alias.set", "life@best"),
        ("model.rollback", "life"),
        ("model.stop", "life/2"),
        ("model.start", "life/2"),
        ("alias.remove", "life@best"),
        ("model.upload.failed", "life"),
        ("model.remove", "life"),
    ]
    actors = [entry.actor for entry in entries(server) if entry.subject.startswith("life")]
    assert {(actor.by, actor.address) for actor in actors} == {("admin", "127.0.0.1")}
    assert all(actor.request and actor.token for actor in actors)
    assert server.run("audit", "verify").stderr == ""
    assert verify(read(server.data_dir), kept_head(server.data_dir)).fault == ""


def test_a_wrong_token_is_in_the_audit_log_and_nobodys_token_is(server):
    url = f"{server.facts['admin']}/admin/v1/models"
    answer = httpx.get(url, headers={"Authorization": "Bearer guessed", "X-Request-Id": "guess-1"})
    assert answer.status_code == 401
    for _ in range(1000):  # it is written beside the answer
        if "admin.refused" in [entry.action for entry in entries(server)]:
            break
        time.sleep(0.01)
    log = (server.data_dir / "audit.jsonl").read_text()
    assert '"admin.refused"' in log
    assert "guessed" not in log
    assert (server.data_dir / "admin-token").read_text() not in log


def test_nothing_is_changed_while_the_audit_log_cannot_be_written(tmp_path, site, monkeypatch):
    """The disk is full for the audit log only: everything else would work."""
    monkeypatch.setenv("PYTHONPATH", str(site))
    (tmp_path / "one.leaky").write_text("whole")
    with ServerProcess(tmp_path / "data", "--plugins", "leaky") as server:
        server.upload(tmp_path / "one.leaky", "--name", "m")
        server.stop()
        log = server.data_dir / "audit.jsonl"
        log.rename(tmp_path / "whole.jsonl")
        log.symlink_to("/dev/full")
        server.start()
        for name in ("m", "new"):
            upload = ["upload", str(tmp_path / "one.leaky"), "--name", name, "--threads", "2"]
            done = server.run(*upload, check=False)
            assert done.returncode == 1
            assert "The audit log cannot be written: No space left on device." in done.stderr
        with admin_of(server) as admin:
            for method, path, body in (
                ("PUT", "/aliases/best", {"version": 1}),
                ("POST", "/rollback", None),
                ("POST", "/stop", None),
                ("DELETE", "", None),
            ):
                refused = admin.request(method, f"/admin/v1/models/m{path}", json=body)
                assert (refused.status_code, refused.json()["code"]) == (507, "audit_failed")
        answer = httpx.post(f"{server.url}/model/m/predict", json={"input": [[3]]})
        assert answer.json()["predictions"] == [3]
        after = server.json("show", "m")
        assert (after["version"], after["state"], after["aliases"]) == (1, "READY", ["latest"])
        assert [model["model"] for model in server.json("list")] == ["m"]

        log.unlink()
        (tmp_path / "whole.jsonl").rename(log)
        with admin_of(server) as admin:
            assert admin.put("/admin/v1/models/m/aliases/best", json={"version": 1}).status_code == 200
        assert verify(read(server.data_dir), kept_head(server.data_dir)).fault == ""
