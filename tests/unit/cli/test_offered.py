"""What commands of plugins are given."""

import json
import threading

import attrs
import pytest
import rich_click as click
import structlog
from click.testing import CliRunner

from prism_core.cli import app as app_module
from prism_core.cli.app import app
from prism_core.specs import Command


@attrs.frozen
class BenchConfig:
    size: int = 1
    namespace: str = ""
    data_dir: str = ""


@pytest.fixture
def bench(monkeypatch, tmp_path):
    """Offer ``prism bench run`` by a plugin; run it, with what is typed behind."""
    monkeypatch.chdir(tmp_path)
    for name in ("PRISM_DATA_DIR", "PRISM_SERVER", "PRISM_TOKEN"):
        monkeypatch.delenv(name, raising=False)

    def run(function, *arguments):
        @click.group("bench")
        def group():
            """Measure."""

        @group.command("run")
        @click.option("--size", default=1, help="How much.")
        @click.pass_obj
        def run_it(cli, size):
            function(cli)

        monkeypatch.setattr(app_module, "plugin_commands", lambda: {"bench": Command("bench", lambda: group)})
        return CliRunner().invoke(app, ["bench", "run", *arguments])

    return run


def test_the_common_options_are_taken_wherever_they_stand(bench, tmp_path):
    seen = []

    result = bench(lambda cli: seen.append((cli.json, cli.data_dir)), "--json", "--data-dir", str(tmp_path))

    assert (result.exit_code, seen) == (0, [(True, tmp_path)])


def test_a_help_page_lists_them(bench):
    result = bench(print, "--help")

    assert all(option in result.output for option in ("--size", "--json", "--data-dir", "--token"))


def test_they_are_known_in_other_threads_too(bench, tmp_path):
    seen = []

    def work(cli):
        thread = threading.Thread(target=lambda: seen.append(cli.data_dir))
        thread.start()
        thread.join()

    bench(work, "--data-dir", str(tmp_path))

    assert seen == [tmp_path]


def test_settings_the_servers_id_and_its_place_are_read(bench, tmp_path):
    (tmp_path / "prism.yaml").write_text("plugins: {bench: {size: 3}}\n")
    (tmp_path / "server-id").write_text("abc\n")
    seen = []

    bench(lambda cli: seen.append(cli.config("bench", BenchConfig)), "--data-dir", str(tmp_path))

    assert seen == [BenchConfig(3, "abc", str(tmp_path))]


def test_a_wrong_setting_is_told_with_its_key(bench, tmp_path):
    (tmp_path / "prism.yaml").write_text("plugins: {bench: {siez: 3}}\n")

    result = bench(lambda cli: cli.config("bench", BenchConfig))

    assert result.exit_code == 1
    assert "plugins.bench.siez" in result.output


def test_without_a_server_that_is_said(bench, tmp_path):
    seen = []

    def work(cli):
        seen.append(cli.running())
        cli.admin("GET", "/models")

    result = bench(work, "--data-dir", str(tmp_path))

    assert (seen, result.exit_code) == ([False], 1)
    assert "No server is running" in result.output


def test_answers_are_tables_or_json(bench):
    table = bench(lambda cli: cli.write_table(("Name",), [("[bold]x[/]",)]))
    plain = bench(lambda cli: cli.write_json({"a": 1}))

    assert "[bold]x[/]" in table.output
    assert json.loads(plain.output) == {"a": 1}


def test_progress_is_silent_where_no_terminal_is(bench):
    def work(cli):
        with cli.progress("Measuring") as tell:
            tell("half of it")

    assert bench(work).output == ""


@pytest.mark.usefixtures("logging_kept")
def test_a_command_that_serves_has_its_events_on_stderr(bench):
    def serve(cli):
        cli.start_log()
        structlog.get_logger("prism.bench").info("bench.open", port=1)

    result = bench(serve, "--json")

    assert json.loads(result.stderr)["event"] == "bench.open"
    assert result.stdout == ""
