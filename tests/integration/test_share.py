"""From ``prism share`` to an answer for a stranger: real servers, and what is printed as it is pasted."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys

import httpx
import joblib
import numpy as np
import psutil
import pytest
from click.testing import CliRunner
from sklearn.linear_model import LinearRegression

from prism_core.cli.app import app
from prism_core.testing.server import ServerProcess

PRISM = [sys.executable, "-m", "prism_core.cli"]
PORTS = ("--host", "127.0.0.1", "--port", "0", "--admin-port", "0")
PASSWORD = "correct horse"
ROW = "[[3.0]]"
COMMENT = re.compile(r"^(?:#|//) (curl|Python|JavaScript)\b", re.M)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Return the file of a model that doubles."""
    path = tmp_path_factory.mktemp("models") / "double.pkl"
    x = np.array([[0.0], [1.0], [2.0]])
    joblib.dump(LinearRegression().fit(x, 2 * x[:, 0]), path)
    return path


@pytest.fixture(scope="module")
def server(tmp_path_factory, model):
    with ServerProcess(tmp_path_factory.mktemp("share") / "data") as server:
        server.upload(model)
        yield server


@pytest.fixture(scope="module")
def here(server):
    """Run a command against the server; return what it printed."""

    def run(*args, code=0, **env):
        words = [*map(str, args), "--data-dir", str(server.data_dir)]
        done = CliRunner(env={"PRISM_LINK_PASSWORD": None, "PRISM_KEY": None} | env).invoke(app, words)
        assert done.exit_code == code, done.output
        return done

    return run


@pytest.fixture
def share(here):
    """Make a link; return what ``--json`` prints of it. It is gone at the end."""
    made = []

    def make(*options, **env):
        made.append(json.loads(here("share", "double", *options, "--json", **env).stdout))
        return made[-1]

    yield make
    left = {link["slug"] for link in json.loads(here("links", "--json").stdout)["links"]}
    for link in made:
        if link["slug"] in left:
            here("unshare", link["slug"])


def answer_of(url, *args, code=0, **env):
    """Ask through a link as a stranger does, who has no server; return the answer, or the error's text."""
    env = {"PRISM_LINK_PASSWORD": None, "PRISM_KEY": None} | env
    done = CliRunner(env=env).invoke(app, ["predict", url, "--input", ROW, "--json", *args])
    assert done.exit_code == code, done.output
    if code:
        return json.loads(done.stderr)["error"]
    return [round(value, 9) for value in json.loads(done.stdout)["predictions"]]


# --- what is printed ----------------------------------------------------------------------------

WISHES = {"plain": ((), {}), "password": (("--password",), {"PRISM_LINK_PASSWORD": PASSWORD})}
RUN = {
    "curl": ["bash", "-euc"],
    "Python": [sys.executable, "-c"],
    "JavaScript": ["node", "--input-type=module", "-e"],
}


@pytest.fixture(scope="module")
def printed(here):
    """What ``prism share`` prints of a link without and of one with a password."""
    yield {name: here("share", "double", *options, **env).stdout for name, (options, env) in WISHES.items()}
    here("unshare", "--all")


@pytest.mark.parametrize("wish", WISHES)
@pytest.mark.parametrize("language", ["curl", "Python", pytest.param("JavaScript", marks=pytest.mark.system)])
def test_what_is_printed_works_as_it_is_pasted(printed, wish, language, tmp_path):
    if shutil.which(RUN[language][0]) is None:
        pytest.skip("node is not installed; apt-get install nodejs")
    _, *parts = COMMENT.split(printed[wish].partition("\n\ndouble is shared.")[0])
    text = dict(zip(parts[::2], parts[1::2], strict=True))[language].partition("\n")[2]

    done = subprocess.run(
        [*RUN[language], text],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        env=os.environ | {"PRISM_LINK_PASSWORD": PASSWORD},
    )

    assert done.returncode == 0, done.stderr
    assert re.search(r"model\W+double.*predictions", done.stdout, re.S), done.stdout


def test_a_link_is_told_with_what_it_lets_people_do_and_what_it_does_not_close(here, server, printed):
    assert "whoever has it predict" in printed["plain"]
    assert "send it on another way" in printed["password"]
    assert "prism unshare" in printed["plain"]
    assert PASSWORD not in printed["password"]

    warned = here("share", "double").stderr
    assert f"auth: none. Whoever reaches {server.url}/model/double" in warned


def test_programs_get_one_line(share):
    link = share("--expires", "2h", "--uses", "5")

    assert list(link)[:5] == ["url", "predict_url", "token", "slug", "expires"]
    assert link["url"] == f"{link['predict_url'].removesuffix('/predict')}#{link['token']}"
    assert (link["model"], link["version"], link["uses"], link["state"]) == ("double", 1, 5, "up")


def test_what_cannot_be_shared_is_told_with_the_next_step(here):
    unknown = here("share", "duoble", code=1).stderr
    assert "There is no file 'duoble'. There is no model 'duoble'." in unknown
    assert "Did you mean 'double'?" in unknown

    assert "'rleay'" in here("share", "double", "--tunnel", "rleay", code=1).stderr


# --- asking through it --------------------------------------------------------------------------


def test_the_page_s_address_is_enough_to_predict(share):
    link = share()

    assert answer_of(link["url"]) == [6.0]
    assert answer_of(link["predict_url"], "--key", link["token"]) == [6.0]
    assert answer_of(link["url"], PRISM_KEY="of another server") == [6.0]


def test_an_address_without_its_end_says_what_is_missing(share):
    refused = answer_of(share()["url"].partition("#")[0], code=1)

    assert refused["code"] == "unauthorized"
    assert "what follows its #" in refused["hint"]


def test_a_password_is_taken_from_the_environment(share):
    link = share("--password", PRISM_LINK_PASSWORD=PASSWORD)

    assert answer_of(link["url"], PRISM_LINK_PASSWORD=PASSWORD) == [6.0]
    assert "PRISM_LINK_PASSWORD" in answer_of(link["url"], code=1)["hint"]
    assert answer_of(link["url"], code=1, PRISM_LINK_PASSWORD="wrong")["code"] == "unauthorized"


def test_a_link_that_is_used_up_says_so(share, here):
    link = share("--uses", "1")

    assert answer_of(link["url"]) == [6.0]
    assert answer_of(link["url"], code=1)["code"] == "link_expired"
    assert "1 of 1" in here("links").stdout


def test_a_link_that_is_revoked_opens_nothing_any_more(share, here):
    link, other = share(), share()
    assert link["slug"] in here("links").stdout
    assert "is revoked" in here("unshare", link["slug"]).stdout

    assert answer_of(link["url"], code=1)["code"] == "link_not_found"
    assert answer_of(other["url"]) == [6.0]
    assert [one["slug"] for one in json.loads(here("unshare", "double", "--json").stdout)["revoked"]]
    assert answer_of(other["url"], code=1)["code"] == "link_not_found"


def test_where_nobody_answers_who_shared_it_is_to_be_asked():
    refused = answer_of("http://127.0.0.1:9/s/k3m9x2p7qa#prl_x", code=1)

    assert refused["code"] == "server_not_found"
    assert "ask whoever shared it" in refused["hint"]


# --- the server that it starts ------------------------------------------------------------------


@contextlib.contextmanager
def sharing(data_dir, *words):
    """Run ``prism share`` in the foreground; yield its process and what it printed."""
    command = [*PRISM, "share", *map(str, words), *PORTS, "--json", "--data-dir", str(data_dir)]
    log = data_dir.parent / "share.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
    with process.stdout:
        try:
            line = process.stdout.readline()
            assert line, log.read_text()
            yield process, json.loads(line)
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait(30)


def test_ctrl_c_revokes_the_link_and_another_end_does_not(tmp_path, model):
    data = tmp_path / "data"
    with sharing(data, model) as (process, first):
        assert answer_of(first["url"]) == [6.0]
        asked = httpx.post(
            first["predict_url"].partition("/s/")[0] + "/model/double/predict", json={"input": [[1]]}
        )
        assert asked.status_code == 401  # the link is the way in
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    with sharing(data, "double") as (process, second):
        slugs = {link["slug"] for link in links_of(data)}
        assert slugs == {first["slug"], second["slug"]}
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    done = CliRunner().invoke(app, ["audit", "list", "--json", "--data-dir", str(data)])
    revoked = [entry["subject"] for entry in json.loads(done.stdout) if entry["action"] == "link.revoke"]
    assert revoked == [second["slug"]]


def links_of(data_dir):
    done = CliRunner().invoke(app, ["links", "--json", "--data-dir", str(data_dir)])
    return json.loads(done.stdout)["links"]


@pytest.fixture
def detached(tmp_path):
    """Run a command for a data directory whose server, if one is left, is stopped at the end."""
    data = tmp_path / "data"

    def run(*words, code=0):
        command = [*PRISM, *map(str, words), "--data-dir", str(data)]
        # Files, not pipes: the command is over when it ends, though a server it started has its output still.
        with (tmp_path / "out").open("w+") as out, (tmp_path / "err").open("w+") as err:
            ended = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, timeout=120)
            out.seek(0), err.seek(0)
            told, errors = out.read(), err.read()
        assert ended.returncode == code, errors
        return errors if code else told

    run.data = data
    yield run
    facts = server_of(data)
    if facts:
        psutil.Process(facts["pid"]).terminate()


def server_of(data):
    path = data / "server.json"
    return json.loads(path.read_text()) if path.exists() else None


def test_detached_it_returns_and_the_server_stays_until_it_is_stopped(detached, model):
    told = detached("share", model, *PORTS, "--detach")
    facts = server_of(detached.data)
    assert f"pid {facts['pid']}" in told
    assert "serve --stop" in told
    assert str(detached.data / "server.log") in told
    assert facts["auth"] == "keys"
    assert os.getsid(facts["pid"]) != os.getsid(0)

    again = json.loads(detached("share", "double", "--detach", "--json"))
    assert answer_of(again["url"]) == [6.0]
    assert server_of(detached.data)["pid"] == facts["pid"]

    assert f"pid {facts['pid']}" in detached("serve", "--stop")
    assert not psutil.pid_exists(facts["pid"])
    assert server_of(detached.data) is None
    assert "No server is running" in detached("serve", "--stop", code=1)


def test_detached_a_share_that_fails_leaves_no_server(detached, tmp_path):
    (tmp_path / "notes.txt").write_text("no model")

    assert "No loader recognises" in detached("share", tmp_path / "notes.txt", *PORTS, "--detach", code=1)
    assert server_of(detached.data) is None


def test_detached_a_server_that_cannot_start_says_why(detached, model):
    errors = detached("share", model, "--detach", "--plugins", "sklern", code=1)

    assert "sklern" in errors
    assert "server.log" in errors
