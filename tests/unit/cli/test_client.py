import json
import os

import httpx
import pytest

from prism_core.cli.artifacts import Source
from prism_core.cli.client import Address, ServerNotFound, find_server, parse_reference, running_server
from prism_core.cli.options import Common
from prism_core.cli.progress import Progress
from prism_core.cli.sending import send
from prism_core.errors import (
    ArtifactTooLarge,
    InvalidInput,
    ModelNotFound,
    PrismError,
    Unauthorized,
    UnsafeArtifact,
)

MODEL = {
    "model": "churn",
    "aliases": {"latest": 2, "champion": 1},
    "versions": [{"version": 1}, {"version": 2}, {"version": 3}],
}


@pytest.fixture
def data_dir(tmp_path):
    (tmp_path / "admin-token").write_text("secret\n")
    facts = {"admin": "http://127.0.0.1:8001/", "public": "http://127.0.0.1:8000", "pid": os.getpid()}
    (tmp_path / "server.json").write_text(json.dumps(facts))
    return tmp_path


def problem(status, code, **facts):
    return httpx.Response(status, json={"code": code, "detail": "No.", "status": status, **facts})


def test_a_server_is_found_by_its_data_directory(data_dir):
    assert find_server(Common(data_dir=data_dir)) == Address("http://127.0.0.1:8001", "secret")


def test_a_server_whose_process_is_gone_is_not_running(data_dir):
    facts = json.loads((data_dir / "server.json").read_text())
    (data_dir / "server.json").write_text(json.dumps(facts | {"pid": 2**22 + 1}))

    assert running_server(data_dir) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"pid": "x"}'])
def test_a_file_that_says_nothing_is_no_server(tmp_path, text):
    (tmp_path / "server.json").write_text(text)

    assert running_server(tmp_path) is None


def test_a_token_that_cannot_be_read_says_what_to_do(data_dir):
    (data_dir / "admin-token").unlink()

    with pytest.raises(Unauthorized, match="cannot be read"):
        find_server(Common(data_dir=data_dir))


def test_a_local_token_is_sent_to_the_server_that_wrote_it_and_to_no_other(data_dir):
    def token_for(server):
        return find_server(Common(data_dir=data_dir, server=server)).token

    assert token_for("http://127.0.0.1:8001") == "secret"
    assert token_for("localhost:8001") == "secret"
    assert token_for("http://127.0.0.1:9999") == ""
    assert token_for("http://example.org:8001") == ""


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("churn", ("churn", None, "")),
        ("churn/3", ("churn", 3, "")),
        ("churn@champion", ("churn", None, "champion")),
    ],
)
def test_a_reference_names_model_version_or_alias(text, parts):
    assert parse_reference(text) == parts


def test_a_reference_that_is_none_is_refused():
    with pytest.raises(ModelNotFound, match="is no model"):
        parse_reference("churn/x")


@pytest.mark.parametrize(
    ("reference", "version"),
    [("churn", 2), ("churn/1", 1), ("churn@champion", 1), ("churn@latest", 2)],
)
def test_a_reference_is_resolved_to_a_version(answering, reference, version):
    client = answering(lambda request: httpx.Response(200, json=MODEL))

    assert client.resolve(reference) == ("churn", version)


def test_an_unknown_alias_is_told_with_those_there_are(answering):
    client = answering(lambda request: httpx.Response(200, json=MODEL))

    with pytest.raises(ModelNotFound) as caught:
        client.resolve("churn@best")
    assert "champion" in caught.value.hint


def test_the_token_goes_with_every_request(answering):
    client = answering(lambda request: httpx.Response(200, json=[request.headers["authorization"]]))

    assert client.models() == ["Bearer secret"]


def test_a_problem_is_raised_as_the_error_it_was(answering):
    client = answering(
        lambda _: problem(422, "invalid_input", hint="Do.", details={"errors": [1]}, error_id="e")
    )

    with pytest.raises(InvalidInput) as caught:
        client.models()
    assert caught.value.hint == "Do."
    assert caught.value.details == {"errors": [1], "error_id": "e"}


def test_a_wrong_token_is_told_in_options(answering):
    with pytest.raises(Unauthorized) as caught:
        answering(lambda _: problem(401, "unauthorized", hint="Send a header.")).models()
    assert "--token" in caught.value.hint


@pytest.mark.parametrize("answer", [b"<html>", b"{}", b"[]"])
def test_another_program_is_told_apart(answering, answer):
    with pytest.raises(PrismError, match="not as a PRISM server does"):
        answering(lambda _: httpx.Response(502, content=answer)).models()


@pytest.mark.parametrize(
    "error", [httpx.ConnectError("refused"), httpx.ReadTimeout("slow"), httpx.ReadError("cut")]
)
def test_a_connection_that_fails_is_an_error_of_ours(answering, error):
    def answer(_):
        raise error

    with pytest.raises(ServerNotFound):
        answering(answer).models()


# --- uploads --------------------------------------------------------------------------------


class Uploads:
    """An admin API that takes uploads and answers with ``lines``."""

    def __init__(self, *lines):
        self.lines = lines
        self.body = b""
        self.spec = {}

    def __call__(self, request):
        if request.method == "GET":
            return httpx.Response(200, json={"public": "http://prism"})
        body, size = request.read(), int(request.url.params["spec_bytes"])
        assert int(request.headers["content-length"]) == len(body)
        self.spec, self.body = json.loads(body[:size]), body[size:]
        return httpx.Response(200, content=b"".join(json.dumps(line).encode() + b"\n" for line in self.lines))


class Recorded(Progress):
    def __init__(self):
        self.seen = []

    def sent(self, size):
        self.seen.append(size)

    def step(self, text):
        self.seen.append(text)


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "churn_model.pkl"
    path.write_bytes(b"bytes")
    return Source.of(path)


def test_an_upload_sends_the_bytes_and_follows_the_steps(answering, source):
    server = Uploads(
        {"event": "step", "step": "store"},
        {"event": "step", "step": "later"},
        {"event": "done", "version": {"version": 1}},
    )
    progress = Recorded()

    version = send(answering(server), source, {"name": "churn"}, progress)

    assert version == {"version": 1}
    assert server.body == b"bytes"
    assert server.spec == {"name": "churn", "filename": "churn_model.pkl", "directory": False}
    assert progress.seen == [5, "Storing", "Later"]


def test_an_upload_that_fails_is_raised_as_the_error_it_was(answering, source):
    failed = {"event": "error", "error": {"code": "unsafe_artifact", "detail": "os.system", "hint": "No."}}

    with pytest.raises(UnsafeArtifact, match=r"os\.system"):
        send(answering(Uploads(failed)), source, {}, Progress())


def test_an_upload_that_is_refused_at_once_is_an_error(answering, source):
    def answer(request):
        server = httpx.Response(200, json={})
        return server if request.method == "GET" else problem(413, "artifact_too_large")

    with pytest.raises(ArtifactTooLarge):
        send(answering(answer), source, {}, Progress())


def test_an_upload_without_an_end_is_an_error(answering, source):
    with pytest.raises(PrismError, match="without an answer"):
        send(answering(Uploads({"event": "step", "step": "store"})), source, {}, Progress())
