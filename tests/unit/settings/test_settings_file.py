from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.errors import ConfigError
from prism_core.settings import Settings
from prism_core.settings_file import default_data_dir, env_values, load_settings, parse_yaml

MB = 1024 * 1024


@pytest.fixture
def written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(text, name="prism.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def errors_of(config, env=None):
    with pytest.raises(ConfigError) as caught:
        load_settings(config, env or {})
    return [(error["text"], error["hint"]) for error in caught.value.details["errors"]]


def test_without_anything_there_are_defaults(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    settings = load_settings()

    assert settings == Settings(data_dir=default_data_dir())


def test_the_documented_shape_is_read(written):
    path = written(
        """
models:
  churn: {path: ./churn_model.pkl, preload: true, memory_estimate: 200MB}
  digits: {path: ./digits.onnx, options: {threads: 1}, batching: {max_batch_rows: 8}}
  remote: {path: "s3://bucket/model.pkl"}
cache: {max_memory: 256MB, ttl_s: 3600}
memory: {soft_limit: 6GB, hard_limit: 7GB}
plugins: {podman: {image: prism}}
data_dir: data
"""
    )

    settings = load_settings()

    assert settings.models["churn"].path == str(path.parent / "churn_model.pkl")
    assert settings.models["churn"].memory_estimate == 200 * MB
    assert settings.models["digits"].options == {"threads": 1}
    assert settings.models["digits"].batching.max_batch_rows == 8
    assert settings.models["remote"].path == "s3://bucket/model.pkl"
    assert settings.memory.hard_limit == 7 * 1024 * MB
    assert settings.plugins == {"podman": {"image": "prism"}}
    assert settings.data_dir == path.parent / "data"


def test_paths_are_meant_from_where_the_file_lies(written, tmp_path):
    (tmp_path / "conf").mkdir()
    path = written("models: {churn: {path: ../churn.pkl}}", "conf/other.yaml")

    assert load_settings(path).models["churn"].path == str(tmp_path / "churn.pkl")


def test_what_links_name_is_looked_at(written, tmp_path):
    (tmp_path / "ca.pem").write_text("")
    path = written("links: {webhook: https://example.org/x, ca: ca.pem}")

    assert load_settings(path).links.ca == str(tmp_path / "ca.pem")
    for wrong, said in (("{webhook: ftp://x}", "no URL"), ("{ca: other.pem}", "no such file")):
        with pytest.raises(ConfigError, match=said):
            load_settings(written(f"links: {wrong}"))


def test_flags_win_over_the_environment_over_the_file(written):
    path = written("{port: 1, host: file, admin_port: 1, cache: {ttl_s: 1, enabled: false}}")

    settings = load_settings(
        path, {"PRISM_PORT": "2", "PRISM_HOST": "env", "PRISM__CACHE__TTL_S": "2"}, {"port": 3, "load": ["a"]}
    )

    assert (settings.port, settings.host, settings.admin_port) == (3, "env", 1)
    assert (settings.cache.ttl_s, settings.cache.enabled) == (2.0, False)
    assert settings.load == ("a",)


@pytest.mark.parametrize(
    ("name", "text", "values"),
    [
        ("PRISM_HOST", "0", {"host": "0"}),
        ("PRISM_PORT", "0", {"port": 0}),
        ("PRISM_DATA_DIR", "42", {"data_dir": "42"}),
        ("PRISM_LOG_LEVEL", "debug", {"log_level": "debug"}),
        ("PRISM_LOAD", "a, b", {"load": ["a", "b"]}),
        ("PRISM_LOAD", "[a]", {"load": ["a"]}),
        ("PRISM_LOAD", "", {"load": []}),
        ("PRISM__CACHE__ENABLED", "false", {"cache": {"enabled": False}}),
        ("PRISM__CACHE__MAX_MEMORY", "1MB", {"cache": {"max_memory": "1MB"}}),
        ("PRISM__MODELS__CHURN__PATH", "7", {"models": {"churn": {"path": "7"}}}),
        ("PRISM__MODELS__CHURN__OPTIONS__N", "7", {"models": {"churn": {"options": {"n": 7}}}}),
        ("PRISM__PLUGINS__PODMAN__PULL", "yes", {"plugins": {"podman": {"pull": True}}}),
        ("PRISM_HOME", "x", {}),
        ("PATH", "x", {}),
    ],
)
def test_variables_are_read_as_their_setting_is_typed(name, text, values):
    assert env_values({name: text})[0] == values


def test_a_variable_cannot_set_a_key_and_one_below_it():
    with pytest.raises(ConfigError, match="'cache'"):
        env_values({"PRISM_CACHE": "1", "PRISM__CACHE__TTL_S": "1"})


def test_errors_name_file_line_and_variable(written):
    path = written("prot: 1\ncache:\n  max_memory: 256XB\nmodels:\n  churn: {preload: true}\n")

    assert errors_of(path, {"PRISM_PORT": "x", "PRISM__CACHE__TTLS": "1"}) == [
        ("prism.yaml, line 1: prot: there is no such key.", "Did you mean 'port'?"),
        (
            "prism.yaml, line 3: cache.max_memory: expected a size such as 256MB or 6GB, got '256XB'.",
            "",
        ),
        (
            "prism.yaml, line 5: models.churn: path is required, unless cache, cors, rate, "
            "access_log_values are all that is set.",
            "",
        ),
        ("PRISM_PORT: port: expected int, got str 'x'.", ""),
        ("PRISM__CACHE__TTLS: cache.ttls: there is no such key.", "Did you mean 'ttl_s'?"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("port: 1\nhost: a\nport: 2\n", "line 3: port: this key stands twice, first at p.yaml, line 1."),
        ("cache: {ttl_s: 1, ttl_s: 2}", "cache.ttl_s: this key stands twice"),
        ("port: [1\n", "p.yaml, line 2: "),
        ("- a\n", "expected a mapping of keys"),
        ("? [a]\n: 1", "p.yaml"),
        ("a: !!python/object:os.system x", "p.yaml, line 1"),
        ("a: 2026-99-99", "p.yaml"),
    ],
)
def test_a_file_that_is_written_wrong_is_told_with_its_line(text, message):
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "p.yaml")

    assert message in caught.value.message


def test_a_key_that_stands_twice_is_told_once_with_all_that_is_below_it():
    with pytest.raises(ConfigError) as caught:
        parse_yaml("cache: {ttl_s: 1}\ncache: {ttl_s: 2}", "p.yaml")

    assert caught.value.message == "p.yaml, line 2: cache: this key stands twice, first at p.yaml, line 1."


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n"])
def test_an_empty_file_says_nothing(text):
    assert parse_yaml(text, "p.yaml")[0] == {}


def test_merged_and_recursive_anchors_do_no_harm():
    data, _ = parse_yaml("a: &a {x: 1}\nb: {<<: *a, y: 2}\nc: &c [*c]\n", "p.yaml")

    assert data["b"] == {"x": 1, "y": 2}


def test_a_named_file_must_be_there():
    with pytest.raises(ConfigError, match="no settings file"):
        load_settings(Path("nowhere.yaml"))


def test_a_file_that_is_not_text_is_refused(tmp_path):
    path = tmp_path / "prism.yaml"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(ConfigError, match="cannot be read"):
        load_settings(path)


@given(st.text("ab:- \n[]{}&*!\"'#?1", max_size=40))
def test_any_text_is_read_or_refused(text):
    try:
        parse_yaml(text, "p.yaml")
        message = ""
    except ConfigError as error:
        message = error.message

    assert not message or message.startswith("p.yaml")


@pytest.mark.parametrize(
    ("text", "flags", "backend", "wish"),
    [
        ("", {}, "process", "best"),
        ("isolation: podman", {}, "podman", "best"),
        ("isolation: {sandbox: required}", {}, "process", "required"),
        ("isolation: {sandbox: off}", {}, "process", "off"),
        ("isolation: {sandbox: required}", {"isolation": "podman"}, "podman", "required"),
        ("isolation: podman", {"isolation": {"sandbox": "off"}}, "podman", "off"),
    ],
)
def test_isolation_is_a_backend_or_a_mapping_and_layers_add_up(tmp_path, text, flags, backend, wish):
    (tmp_path / "prism.yaml").write_text(text)

    settings = load_settings(tmp_path / "prism.yaml", {}, flags)

    assert (settings.isolation.backend, settings.isolation.wish) == (backend, wish)


def test_isolation_from_variables():
    settings = load_settings(
        None, {"PRISM__ISOLATION__SANDBOX": "off", "PRISM__ISOLATION__BACKEND": "podman"}
    )

    assert (settings.isolation.backend, settings.isolation.wish) == ("podman", "off")
    assert load_settings(None, {"PRISM_ISOLATION": "podman"}).isolation.backend == "podman"
