"""The command line against a real server: the server in a process of its own, most commands in this one.

What depends on a process (streams, signals, exit codes, imports) is run as one.
"""

import contextlib
import json
import os
import pickle
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from prism_core.cli.app import app

PRISM = [sys.executable, "-c", "from prism_core.cli import main; main()"]
STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
ROWS = [{"tenure": 3, "plan": "basic"}, {"tenure": 50, "plan": "pro"}]


@pytest.fixture(scope="module", autouse=True)
def heard():
    """Let what is started hear all signals: who runs the tests may ignore some, as `nohup` does."""
    ignored = [one for one in STOPPING if signal.getsignal(one) is signal.SIG_IGN]
    for one in ignored:
        signal.signal(one, signal.SIG_DFL)
    yield
    for one in ignored:
        signal.signal(one, signal.SIG_IGN)


def environment():
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PRISM")}
    return kept | {"COLUMNS": "100", "NO_COLOR": "1"}


def prism(*args, code=0, stdin="", cwd=None):
    done = subprocess.run(
        [*PRISM, *map(str, args)],
        input=stdin,
        capture_output=True,
        text=True,
        env=environment(),
        timeout=90,
        cwd=cwd,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


@contextlib.contextmanager
def serving(data_dir, *args, command="serve"):
    """Run a server; yield its process and the line that it printed."""
    words = [command, *args, "--json", "--host", "127.0.0.1", "--port", "0", "--admin-port", "0"]
    log = data_dir.parent / f"{data_dir.name}.log"
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [*PRISM, *map(str, words), "--data-dir", str(data_dir)],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env=environment(),
        )
    try:
        line = process.stdout.readline()
        assert line, log.read_text()
        yield process, json.loads(line)
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(30)
        process.stdout.close()


def churn(regularisation):
    import pandas as pd
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"tenure": rng.integers(0, 60, 200), "plan": rng.choice(["basic", "pro"], 200)})
    leaves = np.where((rows.tenure < 20) & (rows.plan == "basic"), "leaves", "stays")
    columns = make_column_transformer(
        (StandardScaler(), ["tenure"]), (OneHotEncoder(handle_unknown="ignore"), ["plan"])
    )
    return make_pipeline(columns, LogisticRegression(C=regularisation)).fit(rows, leaves)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Return a directory with two versions of a model."""
    directory = tmp_path_factory.mktemp("models")
    for name, regularisation in (("churn_model.pkl", 1.0), ("better.pkl", 0.5)):
        (directory / name).write_bytes(pickle.dumps(churn(regularisation)))
    (directory / "rows.json").write_text(json.dumps({"input": ROWS}))
    (directory / "rows.csv").write_text("tenure,plan\n3,basic\n50,pro\n")
    return directory


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("server") / "data") as (_, facts):
        yield facts


@pytest.fixture(scope="module")
def here(server):
    """Run commands against the server, found by its data directory."""

    def run(*args, code=0, stdin=""):
        done = CliRunner().invoke(app, [*map(str, args), "--data-dir", server["data_dir"]], input=stdin)
        assert done.exit_code == code, done.output
        return done

    return run


@pytest.fixture(scope="module")
def served(here, models):
    """Return the name of a model that tests only look at."""
    return json.loads(here("upload", models / "churn_model.pkl", "--name", "served", "--json").stdout)[
        "model"
    ]


@pytest.fixture
def moved(here, models):
    """Return the name of a model that a test may change."""
    here("upload", models / "churn_model.pkl", "--name", "moved")
    yield "moved"
    here("remove", "moved")


def test_a_ready_server_prints_one_line(server):
    assert {"public", "admin", "data_dir", "pid"} <= server.keys()
    os.kill(server["pid"], 0)


def test_an_upload_says_where_the_model_is_with_a_curl_line_that_works(here, models):
    done = here("upload", models / "churn_model.pkl", "--name", "pasted")

    assert "Model deployed successfully." in done.stdout
    assert "Public endpoint: http://127.0.0.1:" in done.stdout
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("curl ")]
    answer = subprocess.run([*shlex.split(line), "-s"], capture_output=True, check=True, timeout=30)
    assert json.loads(answer.stdout)["predictions"][0] in ("leaves", "stays")


def test_the_same_bytes_again_are_the_version_that_exists(here, models, served):
    first = json.loads(here("upload", models / "churn_model.pkl", "--name", served, "--json").stdout)

    assert first.keys() == {
        "model",
        "version",
        "digest",
        "url",
        "signature",
        "warnings",
        "optimization",
        "environment",
    }
    assert first["version"] == 1
    assert "already version 1" in here("upload", models / "churn_model.pkl", "--name", served).stdout


@pytest.mark.parametrize("args", [["rows.json"], ["rows.csv"], ["-"], ["--input", json.dumps(ROWS)]])
def test_a_prediction_is_asked_for_in_any_form(here, models, served, args, monkeypatch):
    monkeypatch.chdir(models)
    done = here("predict", served, *args, "--json", stdin=json.dumps({"input": ROWS}))

    assert json.loads(done.stdout)["predictions"] == ["leaves", "stays"]


def test_a_prediction_can_be_read(here, served):
    done = here("predict", served, "--input", json.dumps(ROWS), "--outputs", "predictions,probabilities")

    assert done.stdout.split()[:4] == ["ROW", "predictions", "P(leaves)", "P(stays)"]
    assert f"{served} version 1" in done.stderr


def test_a_shared_link_is_enough_to_predict(here, served):
    url = json.loads(here("show", served, "--json").stdout)["url"]

    assert json.loads(prism("predict", url, "--input", json.dumps(ROWS), "--json").stdout)["version"] == 1


def test_a_server_that_asks_nobody_ignores_a_wrong_key_and_says_so_when_one_is_made(here, served):
    done = here("predict", served, "--input", json.dumps(ROWS), "--key", "prism_wrong", "--json")
    made = here("keys", "create", "--json")

    assert json.loads(done.stdout)["version"] == 1
    assert "asks nobody" in made.stderr
    here("keys", "revoke", json.loads(made.stdout)["id"])


def test_bad_rows_are_listed(here, served):
    done = here("predict", served, "--input", '[{"tenure": "x", "plan": "basic"}, {"tenure": 1}]', code=1)

    assert "row 0, column tenure: expected" in done.stderr
    assert "row 1, column plan: expected" in done.stderr


def test_versions_aliases_and_rollback(here, models, moved):
    second = json.loads(
        here("upload", models / "better.pkl", "--name", moved, "--alias", "champion", "--json").stdout
    )
    assert second["version"] == 2
    assert "version 1 again" in here("rollback", moved).stdout
    assert json.loads(here("show", moved, "--json").stdout)["version"] == 1
    assert json.loads(here("show", f"{moved}@champion", "--json").stdout)["version"] == 2

    here("alias", moved, "champion", "1")
    assert json.loads(here("show", f"{moved}@champion", "--json").stdout)["version"] == 1
    here("alias", moved, "champion", "--delete")
    assert "no alias" in here("show", f"{moved}@champion", code=1).stderr


def test_show_tells_what_runs(here, served):
    found = json.loads(here("show", served, "--json").stdout)

    (replica,) = found["replicas"]
    assert (found["state"], replica["state"]) == ("READY", "READY")
    assert replica["memory_bytes"] > 0
    os.kill(replica["pid"], 0)
    assert "READY" in here("show", served).stdout


def test_list_tells_every_model(here, served):
    assert served in here("list").stdout
    assert served in {model["model"] for model in json.loads(here("list", "--json").stdout)}


def test_a_stopped_model_comes_back(here, moved):
    here("stop", moved)
    assert json.loads(here("show", f"{moved}/1", "--json").stdout)["state"] == "STOPPED"
    here("predict", moved, "--input", "[1]", code=1)

    here("start", f"{moved}/1")
    here("predict", moved, "--input", json.dumps(ROWS))


def test_logs_tell_what_the_replica_wrote(here, served):
    lines = here("logs", served, "-n", "5", "--json").stdout.splitlines()

    assert any("model.ready" in json.loads(line)["line"] for line in lines)


def test_a_removed_model_is_gone(here, models):
    here("upload", models / "churn_model.pkl", "--name", "gone")
    here("remove", "gone")

    assert "'gone'" in here("show", "gone", code=1).stderr


def test_what_cannot_be_served_is_told_and_leaves_nothing(here, models, tmp_path):
    (tmp_path / "notes.txt").write_text("no model")

    assert "No loader recognises 'notes.txt'" in here("upload", tmp_path / "notes.txt", code=1).stderr
    assert "notes" not in here("list", "--all").stdout


def test_an_example_must_work_before_the_model_is_published(here, models, tmp_path):
    (tmp_path / "bad.json").write_text('{"input": [{"tenure": "x", "plan": "basic"}]}')

    here("upload", models / "churn_model.pkl", "--name", "tried", "--example", tmp_path / "bad.json", code=1)
    assert "tried" not in here("list").stdout.split()

    # Longer than any URL.
    (tmp_path / "good.csv").write_text("tenure,plan\n" + "3,basic\n50,pro\n" * 10_000)
    done = here("upload", models / "churn_model.pkl", "--name", "tried", "--example", tmp_path / "good.csv")
    assert f"--data-binary @{tmp_path / 'good.csv'}" in done.stdout


def test_an_upload_that_is_interrupted_leaves_nothing(server, here, tmp_path):
    root = tmp_path / "endless"
    root.mkdir()
    with (root / "zeros.bin").open("wb") as file:
        file.truncate(4 << 30)  # a sparse file: too much to be sent before the signal
    process = subprocess.Popen(
        [*PRISM, "upload", str(root), "--data-dir", server["data_dir"]],
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    staged = wait_for(lambda: largest_file(server["data_dir"]) > MUCH)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)

    assert staged
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert wait_for(lambda: largest_file(server["data_dir"]) < MUCH)
    assert "endless" not in here("list", "--all").stdout


MUCH = 16 << 20


def largest_file(data_dir):
    """Return the size of the largest file in a data directory that changes meanwhile."""
    found = [0]
    for path in Path(data_dir).rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            found.append(path.lstat().st_size)
    return max(found)


def wait_for(condition, timeout_s=20.0):
    import time

    ends = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > ends:
            return False
        time.sleep(0.02)
    return True


def test_the_server_can_be_named_by_its_url_with_its_token(server, models):
    token = Path(server["data_dir"], "admin-token").read_text().strip()

    prism("list", "--server", server["admin"], "--token", token)
    assert "--token" in prism("list", "--server", server["admin"], "--token", "wrong", code=1).stderr
    assert "admin URL" in prism("list", "--server", server["public"], "--token", token, code=1).stderr


def test_a_second_server_on_the_same_data_is_refused(here):
    assert "already runs" in here("serve", code=1).stderr


def test_a_plugin_that_was_named_must_be_there(tmp_path):
    args = ("serve", "--port", "0", "--admin-port", "0", "--data-dir", tmp_path, "--plugins")

    assert "sklern" in prism(*args, "sklern", code=1).stderr


@pytest.mark.parametrize("number", STOPPING)
def test_a_signal_stops_a_server_quietly(tmp_path, number):
    with serving(tmp_path / "data", "--no-plugins") as (process, facts):
        process.send_signal(number)

        assert process.wait(20) == 0
        assert process.stdout.read() == ""
        assert not os.path.exists(os.path.join(facts["data_dir"], "server.json"))


def test_share_serves_and_uploads_in_one(tmp_path, models):
    with serving(tmp_path / "data", models / "churn_model.pkl", command="share") as (process, version):
        assert version["model"] == "churn"
        prism("predict", version["url"], "--input", json.dumps(ROWS))

        again = json.loads(
            prism("share", models / "better.pkl", "--json", "--data-dir", tmp_path / "data").stdout
        )
        assert again["model"] == "better"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


def test_share_of_what_cannot_be_served_ends_the_server_too(tmp_path):
    (tmp_path / "notes.txt").write_text("no model")
    args = ("--port", "0", "--admin-port", "0", "--data-dir", tmp_path / "data")

    assert "No loader recognises" in prism("share", tmp_path / "notes.txt", *args, code=1).stderr


def test_settings_bring_models_up(tmp_path, models):
    config = tmp_path / "prism.yaml"
    config.write_text(f"models: {{churn: {{path: '{models / 'churn_model.pkl'}'}}}}\n")
    with serving(tmp_path / "data", "--config", config):
        here = ("--data-dir", tmp_path / "data")
        assert wait_for(lambda: "READY" in prism("list", *here).stdout)


HEAVY = ["litestar", "uvicorn", "numpy", "structlog", "httpx", "yaml", "cattrs", "prism_core.plugins"]


def test_what_needs_no_server_imports_nothing_heavy():
    """Help, completion and `version` are as quick as Python itself allows."""
    program = f"""
import contextlib, io, sys
from prism_core.cli.app import app
for args in (["version"], ["serve", "--help"], ["upload", "--help"], ["completion", "zsh"]):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        app(args, prog_name="prism")
print([name for name in {HEAVY} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)

    assert done.stdout.strip() == "[]", done.stderr


def test_a_missing_extra_is_an_installation_error():
    program = "import sys\nsys.modules['rich_click'] = None\nfrom prism_core.cli import main\nmain()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)

    assert done.returncode == 3
    assert "prism-core[server]" in done.stderr
