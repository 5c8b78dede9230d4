"""What the pages show works: settings are settings, code compiles, commands have their options."""

import json
import re
import shlex
from pathlib import Path

import attrs
import click
import pytest
import yaml

from prism_core.cli.app import app
from prism_core.converters import structure
from prism_core.gateway.traffic.rules import check_rules
from prism_core.settings_file import load_settings
from prism_core.traffic.route import Route

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("docs/**/*.md"), *ROOT.glob("*.md"), *ROOT.glob("plugins/*/README.md")])


def examples(*languages):
    """Return each block of one of the languages, with the page's name and its number in there."""
    found = []
    for page in PAGES:
        fences = re.findall(r"^```(\w+)[^\n]*\n(.*?)^```", page.read_text(), re.M | re.S)
        name = page.relative_to(ROOT)
        found += [
            pytest.param(text, id=f"{name}-{n}") for n, (lang, text) in enumerate(fences) if lang in languages
        ]
    return found


@pytest.mark.parametrize("text", examples("yaml"))
def test_settings_are_settings(tmp_path, text):
    """Or a route, where the keys are those of one."""
    said = yaml.safe_load(text)
    if said.keys() <= {field.name for field in attrs.fields(Route)}:
        route = structure(said, Route)
        check_rules("churn", route, countries=True)
        return
    path = tmp_path / "prism.yaml"
    path.write_text(text)

    load_settings(path)


@pytest.mark.parametrize("text", examples("python"))
def test_python_compiles(text):
    signature_only = re.fullmatch(r"def \w+\(.*\) -> [^\n]+\n", text)

    compile(text.rstrip() + ": ..." if signature_only else text, "example", "exec")


@pytest.mark.parametrize("text", examples("json"))
def test_json_is_json(text):
    json.loads(text)


def prism_lines():
    """Yield each ``prism`` command line that a shell block shows."""
    for example in examples("shell", "console", "bash", "sh"):
        for line in example.values[0].replace("\\\n", " ").splitlines():
            found = re.search(r"(?:^|[|$(] ?)(prism (?:[^|)#]|(?<=\S)#)+)", line)
            if found:
                yield pytest.param(found[1].strip(), id=f"{example.id}: {found[1].strip()}")


@pytest.mark.parametrize("line", list(prism_lines()))
def test_a_command_line_has_a_command_and_its_options(line):
    _, name, *arguments = shlex.split(line.rstrip("& "))
    command = app.get_command(click.Context(app), name)

    assert command is not None  # a plugin's, too
    if isinstance(command, click.Group):
        command = command.commands[arguments.pop(0)]
    known = {flag for option in command.params for flag in (*option.opts, *option.secondary_opts)}
    used = {
        argument.partition("=")[0] for argument in arguments if argument.startswith("-") and argument != "-"
    }
    assert used <= known | {"--help"}
