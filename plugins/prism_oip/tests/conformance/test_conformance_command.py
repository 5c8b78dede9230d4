"""The command against servers over HTTP: an honest one, and ones that do not speak the protocol at all."""

from __future__ import annotations

import json
import sys
import time
from urllib.parse import quote
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from plugins.prism_oip.tests.conformance.honest import Honest, over_http, serving
from prism_core.cli.app import app
from prism_oip.conformance import rest
from prism_oip.conformance.check import GROUPS
from prism_oip.conformance.subject import Model
from prism_oip.conformance.table import TABLE
from prism_oip.conformance.tensors import Spec


def conformance(*words: str, code: int | None = None):
    result = CliRunner().invoke(app, ["conformance", *words])
    if code is not None:
        assert result.exit_code == code, result.output
    return result.output


def told(*words: str, code: int | None = None) -> dict:
    return json.loads(conformance(*words, "--json", code=code))


def states(report: dict) -> set[str]:
    return {one["state"] for one in report["checks"]}


def test_an_honest_server_is_conformant():
    with serving(over_http(Honest())) as url:
        report = told(url, "--write", code=0)

    assert report["conformant"]
    assert states(report) == {"holds", "untried"}
    untried = {one["name"] for one in report["checks"] if one["state"] == "untried"}
    untried -= {one.name for one in TABLE if one.rpc}
    assert untried == {
        "binary.raw-request",
        "binary.lying-text",
    }  # its model has two inputs, the first of numbers


def test_the_report_for_people_tells_what_was_sent_and_what_came(tmp_path):
    honest = Honest()

    def forgetful(request):
        answer = honest(request)
        told = json.loads(answer.body) if request.path.endswith("infer") and answer.body[:1] == b"{" else {}
        told.pop("id", None)
        return type(answer)(answer.status, answer.headers, json.dumps(told).encode()) if told else answer

    with serving(over_http(forgetful)) as url:
        text = conformance(url, "--only", "infer", "--junit", str(tmp_path / "report.xml"), code=1)

    assert "x infer.id [twice]: The `id` of a request comes back." in text
    assert "  expected  'kit-42' as 'id'" in text
    assert '"id": "kit-42"' in text.partition("sent ")[2]
    assert "Not conformant: 1 of what is required or advertised fails." in text
    failures = ElementTree.parse(tmp_path / "report.xml").findall(".//failure/..")
    assert [one.get("name") for one in failures] == ["infer.id[twice]"]


def test_what_a_server_says_does_nothing_to_the_terminal(tmp_path):
    told = json.dumps(
        {"name": "\x1b[2J\ud800", "version": "1", "extensions": "\x1b]0;gone\x07\u2028"}
    ).encode()

    def nasty(handler, body):
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(told.replace(b"\\u001b", b"\x1b"))

    with serving(nasty) as url:
        text = conformance(url, "--model", "a\x1b[31m", "--junit", str(tmp_path / "report.xml"), code=1)

    assert all(line.isprintable() for line in text.splitlines())
    assert ElementTree.parse(tmp_path / "report.xml").findall(".//failure")


@pytest.mark.parametrize("name", ["a b", "a/b", "a?b=c#d", "ä%2F"])
def test_a_model_may_be_called_anything(name):
    seen = []

    def looking(request):
        seen.append(request.path)
        return Honest()(request)

    with serving(over_http(looking)) as url:
        conformance(url, "--model", name, "--only", "model", code=1)

    assert f"v2/models/{quote(name, '')}/ready" in seen


def test_very_large_requests_are_not_made():
    large = Model("huge", ("1",), (Spec("x", "FP32", (2**40, 2**40)),), (Spec("y", "FP32", (-1,)),))

    with serving(over_http(Honest(large))) as url:
        report = told(url, "--model", "huge", "--only", "infer", code=1)

    assert "very large" in next(one["reason"] for one in report["checks"] if one["name"] == "infer.flat")


def hang(handler, body):
    time.sleep(0.5)


def close(handler, body):
    handler.connection.close()


def rubbish(handler, body):
    handler.wfile.write(b"\x00\x16\x03\x01 nobody speaks so \r\n\r\n")


def page(handler, body):
    handler.send_response(200)
    handler.send_header("Content-Type", "text/html")
    handler.end_headers()
    handler.wfile.write(b"<html><body>Welcome!</body></html>")


def flood(handler, body):
    handler.send_response(200)
    handler.end_headers()
    try:
        for _ in range(64):
            handler.wfile.write(b" " * 65536)
    except OSError:
        pass  # who asked has gone


def trickle(handler, body):
    handler.send_response(200)
    handler.end_headers()
    try:
        for _ in range(20):
            handler.wfile.write(b" ")
            time.sleep(0.05)
    except OSError:
        pass  # who asked has gone


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (hang, "no whole answer within 0.1 s"),
        (trickle, "no whole answer within 0.1 s"),
        (close, "no answer of HTTP"),
        (rubbish, "no answer of HTTP"),
        (flood, "an answer of more than 1 MB"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_server_that_does_not_speak_http_is_soon_given_up(answer, words, monkeypatch):
    monkeypatch.setattr(rest, "MAX_ANSWER_BYTES", 1 << 20)

    with serving(answer) as url:
        report = told(url, "--timeout", "0.1", code=1)

    assert words in report["checks"][0]["found"]
    reasons = {one["reason"] for one in report["checks"] if one["state"] == "untried"}
    assert any(reason.startswith("the server answers no more: ") for reason in reasons)
    assert sum(one["state"] == "fails" for one in report["checks"]) <= 4


def test_a_server_of_pages_holds_almost_nothing():
    with serving(page) as url:
        report = told(url, "--model", "twice", code=1)

    held = {one["name"] for one in report["checks"] if one["state"] == "holds"}
    assert held <= {"server.live", "server.ready", "model.ready"}  # 200 is all that these ask for
    metadata = next(one for one in report["checks"] if one["name"] == "server.metadata")
    assert metadata["came"] == "200 text/html <html><body>Welcome!</body></html>"


def test_no_server_at_all_is_told():
    report = told("http://127.0.0.1:1", "--timeout", "1", code=1)

    assert report["checks"][0]["found"].startswith("no connection")


def test_a_given_request_is_sent_in_place_of_a_made_one(tmp_path):
    text = {"name": "t", "datatype": "BYTES", "shape": [1, 1], "data": ["of mine"]}
    inputs = [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [7, 8, 9]}, text]
    (tmp_path / "request.json").write_text(json.dumps({"inputs": inputs}))
    bodies = []

    def listening(request):
        bodies.append(request.body)
        return Honest()(request)

    with serving(over_http(listening)) as url:
        conformance(url, "--input", str(tmp_path / "request.json"), "--only", "infer", code=0)

    assert any(b"[7.0, 8.0, 9.0]" in body and b"of mine" in body for body in bodies)


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")

    with serving(over_http(Honest())) as url:
        conformance(url, "--only", "server", code=0)


def test_grpc_that_is_not_installed_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "grpc", None)
    monkeypatch.delitem(sys.modules, "prism_oip.conformance.rpc", raising=False)

    output = conformance("http://127.0.0.1:1", "--grpc", "127.0.0.1:1", "--only", "grpc", code=2)

    assert "pip install 'prism-oip[grpc]'" in " ".join(output.replace("│", " ").split())


def test_headers_are_sent():
    seen = []

    def looking(handler, body):
        seen.append((handler.headers["Authorization"], handler.headers["X-Kit"]))
        over_http(Honest())(handler, body)

    with serving(looking) as url:
        conformance(url, "--key", "secret", "--header", "X-Kit: yes", "--only", "server", code=0)

    assert set(seen) == {("Bearer secret", "yes")}


def test_the_checks_can_be_listed_without_a_server():
    listed = told("--list")

    assert [one["name"] for one in listed] == [one.name for one in TABLE]
    assert all(one["promises"].endswith(".") for one in listed)
    assert "infer.nested" in conformance("--list", "--only", "infer", code=0)


@pytest.mark.parametrize(
    "words",
    [
        (), ("ftp://somewhere",), ("http://",), ("http://[1",), ("http://a:b",), ("http://a\x1b[1m",),
        ("http://127.0.0.1:1", "--key", "ke\ny"), ("http://127.0.0.1:1", "--header", "na me: value"),
        ("http://127.0.0.1:1", "--header", "nothing"), ("http://127.0.0.1:1", "--only", "nothing"),
        ("http://127.0.0.1:1", "--input", __file__), ("http://127.0.0.1:1", "--timeout", "0"),
        ("http://127.0.0.1:1", "--ca", __file__),
    ],
)  # fmt: skip
def test_wrong_words_are_usage_errors(words):
    conformance(*words, code=2)


def test_names_of_checks_are_told_once_and_by_group():
    assert len({one.name for one in TABLE}) == len(TABLE)
    assert tuple(dict.fromkeys(one.group for one in TABLE)) == GROUPS
