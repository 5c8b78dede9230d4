import json
from types import SimpleNamespace

import pytest
import rich_click as click
from click.testing import CliRunner

from prism_core.cli import app as app_module
from prism_core.cli import checks
from prism_core.cli.app import COMMANDS, app
from prism_core.isolation.sandbox import Abilities
from prism_core.specs import Command


@pytest.fixture
def plugin_command(monkeypatch):
    """Offer one command through a plugin."""

    def offer(build):
        monkeypatch.setattr(
            app_module, "plugin_commands", lambda: {"bench": Command("bench", build, "Measure.")}
        )

    return offer


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_teaches_and_takes_the_common_options(prism, name):
    result = prism(name, "--help")

    assert result.exit_code == 0
    assert f"prism {name}" in result.output.replace("app ", "prism ")
    for option in ("--json", "--data-dir", "--server", "--token", "--debug"):
        assert option in result.output


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_the_group_lists_every_command(prism, name):
    assert name in prism("--help").output


def test_a_wrong_command_is_wrong_usage_with_a_suggestion(prism):
    result = prism("uplaod", "x")

    assert result.exit_code == 2
    assert "Did you mean 'upload'?" in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["upload"],
        ["upload", "x", "--replicas", "0"],
        ["upload", "x", "--option", "novalue"],
        ["upload", "x", "--memory-limit", "5XB"],
        ["serve", "--port", "99999"],
        ["serve", "--plugins", "a", "--no-plugins"],
        ["alias", "churn", "champion"],
        ["alias", "churn", "champion", "3", "--delete"],
        ["stop"],
        ["stop", "churn", "--all"],
        ["unshare"],
        ["unshare", "churn", "--all"],
        ["share", "churn", "--uses", "0"],
        ["share", "churn", "--expires", "soon"],
        ["share", "churn", "--rate", "often"],
        ["share", "churn", "--verb", "train"],
        ["share", "churn", "--name", "other"],
        ["predict", "churn"],
        ["predict", "churn", "--input", "{"],
        ["predict", "churn", "nowhere.csv"],
        ["list", "--nonsense"],
        ["completion", "powershell"],
    ],
)
def test_wrong_usage_exits_with_2(prism, arguments):
    assert prism(*arguments).exit_code == 2


def test_a_path_that_leads_nowhere_starts_no_server(prism, tmp_path):
    result = prism("share", "models/nowhere.pkl")

    assert result.exit_code == 1
    assert "There is no file 'models/nowhere.pkl'" in result.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    "arguments",
    [["list"], ["links"], ["unshare", "churn"], ["serve", "--stop"], ["predict", "churn", "--input", "[1]"]],
)
def test_without_a_server_the_next_step_is_told(prism, arguments):
    result = prism(*arguments)

    assert result.exit_code == 1
    assert "No server is running" in result.stderr
    assert "prism serve" in result.stderr
    assert result.stdout == ""


def test_with_json_an_error_is_a_problem_object_on_stderr(prism):
    result = prism("list", "--json")

    assert result.stdout == ""
    assert json.loads(result.stderr)["error"]["code"] == "server_not_found"


def test_the_version_can_be_asked_for_as_programs_do(prism):
    assert prism("--version").stdout.startswith("prism ")


@pytest.mark.parametrize("arguments", [["--json", "version"], ["version", "--json"]])
def test_common_options_stand_before_or_after_the_name(prism, arguments):
    assert json.loads(prism(*arguments).stdout)["prism"]


def test_an_option_after_the_name_wins(tmp_path):
    result = CliRunner().invoke(
        app,
        ["--server", "ftp://one", "list", "--server", "ftp://two"],
        env={"PRISM_TOKEN": "t"},
    )

    assert "ftp://two" in result.stderr


def test_a_typed_option_wins_over_the_environment():
    result = CliRunner().invoke(
        app,
        ["--server", "ftp://one", "list"],
        env={"PRISM_SERVER": "ftp://two", "PRISM_TOKEN": "t"},
    )

    assert "ftp://one" in result.stderr


@pytest.mark.parametrize("url", ["http://[", "http://h:port", "http://", "ftp://h"])
def test_an_address_that_is_none_is_told_as_such(prism, url):
    result = prism("list", "--server", url, "--token", "t")

    assert result.exit_code == 1
    assert "unexpectedly" not in result.stderr
    assert url in result.stderr


def test_debug_shows_the_trace(prism):
    assert "Traceback" in prism("list", "--debug").stderr
    assert "Traceback" not in prism("list").stderr


def test_wrong_settings_list_every_problem(prism, tmp_path):
    (tmp_path / "prism.yaml").write_text("prot: 1\ncache: {ttl: 1}\n")

    result = prism("serve")

    assert result.exit_code == 1
    assert "prism.yaml, line 1: prot: there is no such key. Did you mean 'port'?" in result.stderr
    assert "prism.yaml, line 2: cache.ttl: there is no such key. Did you mean 'ttl_s'?" in result.stderr


def test_a_plugin_adds_a_command(prism, plugin_command):
    @click.command("bench")
    @click.option("--data-dir")
    def bench(data_dir):
        click.echo("measured")

    plugin_command(lambda: bench)

    assert prism("bench").output == "measured\n"
    assert "Measure." in prism("--help").output


def test_a_broken_plugin_command_does_not_take_the_help_away(prism, plugin_command):
    def build():
        raise RuntimeError("no")

    plugin_command(build)

    assert prism("--help").exit_code == 0
    assert prism("bench").exit_code == 3


@pytest.mark.parametrize(
    ("error", "code"),
    [(KeyboardInterrupt(), 130), (click.Abort(), 130), (ImportError("x"), 3), (ZeroDivisionError("x"), 1)],
)
def test_what_goes_wrong_decides_the_exit_code(prism, plugin_command, error, code):
    @click.command("bench")
    @click.option("--data-dir")
    def bench(data_dir):
        raise error

    plugin_command(lambda: bench)

    assert prism("bench").exit_code == code


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completion_prints_a_script(prism, shell):
    assert "_PRISM_COMPLETE" in prism("completion", shell).output


def test_doctor_looks_at_everything_and_needs_no_server(prism):
    found = json.loads(prism("doctor", "--json").stdout)

    assert {"machine", "plugins", "isolation", "programs", "packages", "server"} <= {
        check["group"] for check in found["checks"]
    }


def test_plugins_needs_no_server(prism):
    assert "inputs" in {plugin["name"] for plugin in json.loads(prism("plugins", "--json").stdout)["plugins"]}


@pytest.mark.parametrize(
    ("namespaces", "landlock", "state", "said"),
    [
        ("", "", "ok", "no network"),
        ("no bubblewrap", "", "ok", "Stronger with namespaces: no bubblewrap."),
        ("no bubblewrap", "an old kernel", "problem", "an old kernel"),
    ],
)
def test_doctor_says_how_strictly_models_are_shut_in(namespaces, landlock, state, said):
    check = checks._sandbox(SimpleNamespace(abilities=lambda: Abilities(namespaces, landlock)))

    assert check.state == state
    assert said in f"{check.detail} {check.hint}"
    assert check.name == f"process: sandbox {Abilities(namespaces, landlock).strongest}"
