"""A model that needs a package of the index, from the upload to its end: nothing in here is a stand-in."""

import json

import httpx
import pytest

from tests.integration.test_cli import prism, serving

TABLE = {"format": "lookup", "key": "city", "default": 0, "values": {"Rome": 2.5}}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    base = tmp_path_factory.mktemp("server")
    (base / "rent.lookup.json").write_text(json.dumps(TABLE))
    (base / "requirements.txt").write_text("tomli==2.0.1\n")
    with serving(base / "data") as (_, facts):
        yield base, facts["data_dir"]


def test_a_model_runs_with_a_package_that_the_server_has_not(server):
    base, data = server

    def run(*words):
        return json.loads(prism(*words, "--json", "--data-dir", data).stdout)

    version = run(
        "upload", base / "rent.lookup.json", "--name", "rent", "--requirements", base / "requirements.txt"
    )
    answer = httpx.post(version["url"], json={"input": [{"city": "Rome"}]}).json()
    shown, listed = run("env", "rent"), run("env")

    assert answer["predictions"] == [2.5]
    pins = {pin["name"]: pin for pin in shown["pins"]}
    assert pins["tomli"]["version"] == "2.0.1"
    assert (pins["prism-core"]["source"], pins["prism-lookup"]["source"]) == ("server", "server")
    assert [one["versions"] for one in listed if one["key"] == shown["key"]] == [["rent/1"]]
    assert f"environment {shown['key']}" in prism("env", "rent", "--explain", "--data-dir", data).stdout

    prism("remove", "rent", "--yes", "--data-dir", data)
    assert [one["key"] for one in run("env")] == []
