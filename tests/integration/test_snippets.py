"""Requests in three languages against a server that says what it got: what is pasted is what is sent."""

import contextlib
import io
import json
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from prism_core.rest.snippets import Sample, javascript, python


class Echo(BaseHTTPRequestHandler):
    """Answers with what it was sent."""

    def do_POST(self):
        sent = self.rfile.read(int(self.headers["Content-Length"])).decode()
        names = ("authorization", "content-type")
        answer = json.dumps({"body": sent, **{name: self.headers[name] for name in names}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture(scope="module")
def echo():
    with HTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/s/a/predict"
        server.shutdown()
        thread.join()


BODY = {"input": [{"it's": 'a "quote"', "é": None, "yes": True, "x": 1.5}]}


def run_python(text):
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        exec(text, {"print": lambda value: print(json.dumps(value))})
    return told.getvalue()


def run_javascript(text):
    if shutil.which("node") is None:
        pytest.skip("node is not installed; apt-get install nodejs")
    text = text.replace(
        "console.log(await answer.json())", "console.log(JSON.stringify(await answer.json()))"
    )
    done = subprocess.run(
        ["node", "--input-type=module", "-e", text], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("language", "run"),
    [(python, run_python), pytest.param(javascript, run_javascript, marks=pytest.mark.system)],
)
@pytest.mark.parametrize("file", ["", "rows.csv"])
def test_what_is_pasted_sends_the_body_with_the_token(echo, language, run, file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    sample = Sample("text/csv", None, file) if file else Sample(body=BODY)

    answer = json.loads(run(language(echo, sample, "secret")))

    assert answer["authorization"] == "Bearer secret"
    assert answer["content-type"] == sample.media_type
    assert answer["body"] == "a,b\n1,2\n" if file else json.loads(answer["body"]) == BODY
