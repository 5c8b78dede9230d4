"""`prism podman`: what its commands say without a Podman, and which images are nobody's."""

import json

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from prism_core.cli.app import app
from prism_core.plugin import Environment, EnvironmentFailed, ModelNotFound, Pin
from prism_podman.commands.images import described, users_of
from prism_podman.commands.recipes import found_version, recipe, recipes, servers
from prism_podman.images.pruning import unwanted
from prism_podman.images.store import Stored, hint_of, said


@pytest.fixture
def prism(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("PRISM_DATA_DIR", "PRISM_SERVER", "PRISM_TOKEN", "CONTAINER_HOST"):
        monkeypatch.delenv(name, raising=False)
    return lambda *args: CliRunner().invoke(app, ["podman", *args, "--data-dir", str(tmp_path / "data")])


@pytest.mark.parametrize("name", ["base", "build", "images", "prune"])
def test_every_command_teaches_and_takes_the_common_options(prism, name):
    result = prism(name, "--help")

    assert result.exit_code == 0
    assert all(option in result.output for option in ("--json", "--data-dir", "--server"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["base"], "Give one of --from-host"),
        (["base", "--from-host", "--from-debootstrap"], "Give one of --from-host"),
        (["build"], "Give a model, or an environment"),
        (["build", "churn", "--environment", "k"], "Give a model, or an environment"),
    ],
)
def test_wrong_usage(prism, arguments, said):
    result = prism(*arguments)

    assert (result.exit_code, said in result.output) == (2, True)


def test_an_environment_that_is_not_there_is_said_with_those_that_are(prism, tmp_path):
    (tmp_path / "data" / "environments").mkdir(parents=True)
    (tmp_path / "data" / "environments" / "abc.json").write_bytes(Environment("abc", "p", "3.11.7").to_json())

    result = prism("build", "--environment", "abd", "--json")

    assert result.exit_code == 1
    assert json.loads(result.stderr)["error"]["hint"] == "There are: abc."


# --- recipes --------------------------------------------------------------------------------


def write(data, name, environment):
    (data / "environments").mkdir(exist_ok=True)
    (data / "environments" / f"{name}.json").write_bytes(environment.to_json())


def test_what_is_no_recipe_is_passed_over(tmp_path):
    write(tmp_path, "abc", Environment("abc", "p", "3.11.7"))
    (tmp_path / "environments" / "broken.json").write_text("{")

    assert [one.key for one in recipes(tmp_path)] == ["abc"]


@pytest.mark.parametrize("key", ["../abc", "none"])
def test_only_recipes_of_the_data_directory_are_read(tmp_path, key):
    write(tmp_path, "abc", Environment("abc", "p", "3.11.7"))
    (tmp_path / "abc.json").write_bytes(Environment("abc", "p", "3.11.7").to_json())

    with pytest.raises(EnvironmentFailed, match="There is no environment"):
        recipe(tmp_path, key)


def test_the_servers_own_is_found_by_its_pins():
    one = Environment("server", "p", "3.11.7", (Pin("a", "1"),))
    other = Environment("server", "p", "3.11.7", (Pin("a", "2"),))

    assert servers([one, other], {("a", "2")}) is other
    with pytest.raises(EnvironmentFailed, match="not in this data directory"):
        servers([one], {("a", "2")})


MODEL = {
    "model": "churn",
    "aliases": {"latest": 2, "champion": 1},
    "versions": [{"version": 1, "loader": "a"}, {"version": 2, "loader": "b"}],
}


@pytest.mark.parametrize(("reference", "version"), [("churn", 2), ("churn/1", 1), ("churn@champion", 1)])
def test_a_reference_means_a_version(reference, version):
    assert found_version(MODEL, reference)["version"] == version


@pytest.mark.parametrize("reference", ["churn/3", "churn@none"])
def test_a_reference_to_nothing_is_said(reference):
    with pytest.raises(ModelNotFound):
        found_version(MODEL, reference)


# --- whose images are whose -----------------------------------------------------------------


def image(name, tags=(), **labels):
    return Stored(name, tuple(tags), {f"prism.{key}": value for key, value in labels.items()}, 1)


def environment(name, tags, base="b1", server="me"):
    return image(name, tags, image="environment", server=server, base=base)


def test_what_goes_are_own_images_that_are_not_wanted_and_bases_that_nothing_begins_with():
    images = [
        environment("wanted", ["tag:1"]),
        environment("old", ["tag:0"], base="b0"),
        environment("others", ["tag:2"], base="b2", server="you"),
        image("b0", image="base"),
        image("b1", image="base"),
        image("b2", image="base"),
        image("b3", ["base:3.11"], image="base"),
        image("export", ["churn:1"], image="export", server="me"),
    ]

    assert [one.id for one in unwanted(images, "me", {"tag:1"})] == ["old", "b0"]


stored = st.builds(
    image,
    st.text("abc", min_size=1, max_size=3),
    st.lists(st.sampled_from(["t:1", "t:2"]), max_size=2),
    image=st.sampled_from(["environment", "base", "export", "other"]),
    server=st.sampled_from(["me", "you", ""]),
    base=st.sampled_from(["a", "b", "none"]),
)


@given(st.lists(stored, unique_by=lambda one: one.id), st.sampled_from(["me", ""]))
def test_nothing_of_anybody_else_goes_nor_a_base_that_is_needed(images, server):
    going = unwanted(images, server, {"t:1"})
    staying = [one for one in images if one not in going]

    for one in going:
        own = one.labels["prism.image"] == "environment" and one.labels["prism.server"] == server != ""
        assert own or (one.labels["prism.image"] == "base" and not one.tags)
    assert not {one.id for one in going if one.labels["prism.image"] == "base"} & {
        one.labels["prism.base"] for one in staying
    }


def test_an_image_is_told_with_who_uses_it():
    versions = [
        {"model": "churn", "version": 1, "isolation": "podman", "environment": "k"},
        {"model": "churn", "version": 2, "isolation": "process", "environment": "k"},
    ]
    images = [
        image(
            "i",
            ["localhost/prism-environment:k"],
            image="environment",
            server="me",
            environment="k",
            base="b",
        ),
        image("b", ["localhost/prism-base:3.11-host", "localhost/prism-base:3.11"], image="base"),
    ]

    own, base = (described(one, images, users_of(versions), "me") for one in images)
    others = described(images[0], images, users_of(versions), "you")

    assert (own["used_by"], own["own"]) == (["churn/1"], True)
    assert (base["image"], base["used_by"]) == (
        "localhost/prism-base:3.11",
        ["localhost/prism-environment:k"],
    )
    assert (others["used_by"], others["own"]) == ([], False)


# --- what Podman says -----------------------------------------------------------------------


def test_what_a_pull_says_and_why_it_fails():
    lines = [b'{"stream":"Trying\\n"}', b"", b'{"id":"x"}', b'{"error":"no such host"}']
    heard = []

    with pytest.raises(EnvironmentFailed, match="no such host"):
        heard.extend(said(lines))
    assert list(said(lines[:3])) == ["Trying"]


@pytest.mark.parametrize(
    ("reason", "step"),
    [
        ("write /x: no space left on device", "prism podman prune"),
        ("dial tcp: lookup docker.io: no such host", "prism podman base --from-host"),
        ("something", "prism podman doctor"),
    ],
)
def test_what_podman_says_comes_with_a_next_step(reason, step):
    assert step in hint_of(reason)
