"""`prism tunnel`: what there is, whether it works, and whom to trust."""

import json

import pytest
import yaml
from click.testing import CliRunner

from prism_core.cli.app import app
from prism_tunnel.ssh.hosts import KnownHosts


@pytest.fixture
def prism(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("PRISM_DATA_DIR", "PRISM_SERVER", "PRISM_TOKEN"):
        monkeypatch.delenv(name, raising=False)

    def run(*args, said="", **plugins):
        (tmp_path / "prism.yaml").write_text(yaml.safe_dump({"plugins": plugins}))
        return CliRunner().invoke(
            app, ["tunnel", *args, "--data-dir", str(tmp_path / "data")], input=said or None
        )

    return run


def settings(sshd, **changes):
    """Return `plugins.ssh` with which a server works."""
    said = {
        "host": "127.0.0.1",
        "port": sshd.port,
        "keys": [str(sshd.key)],
        "agent": False,
        "known_hosts": [],
        "remote_host": "127.0.0.1",
    }
    return {**said, **changes}


def known(tmp_path, sshd):
    return KnownHosts.of(str(tmp_path / "data"), ()).fingerprints("127.0.0.1", sshd.port)


@pytest.mark.parametrize("name", ["list", "test", "trust"])
def test_every_command_teaches_and_takes_the_common_options(prism, name):
    result = prism(name, "--help")

    assert result.exit_code == 0
    assert all(option in result.output for option in ("--json", "--data-dir"))


def test_the_list_says_what_is_missing(prism):
    ssh = {one["tunnel"]: one for one in json.loads(prism("list", "--json").stdout)}["ssh"]

    assert ssh == {
        "tunnel": "ssh",
        "rank": 20,
        "ready": False,
        "reason": "`plugins.ssh.host` names no server.",
        "settings": {},
    }


def test_the_list_shows_what_is_set_and_no_secret(prism):
    said = prism("list", "--json", ngrok={"authtoken": "s3cret", "url": "https://a.ngrok.app"}).stdout
    ngrok = {one["tunnel"]: one for one in json.loads(said)}["ngrok"]

    assert ngrok["settings"] == {"url": "https://a.ngrok.app"}
    assert "s3cret" not in said


def test_the_list_says_whom_nobody_has_trusted(prism):
    ways = {one["tunnel"]: one for one in json.loads(prism("list", "--json").stdout)}

    assert ways["relay"]["reason"].startswith("No relay was joined")
    assert ways["pinggy"]["reason"].endswith("is not trusted: prism tunnel trust a.pinggy.io:443")


@pytest.mark.system
def test_the_list_says_what_is_ready(prism, sshd):
    ssh = settings(sshd, known_hosts=[str(sshd.directory / "known_hosts")])
    ways = {one["tunnel"]: one for one in json.loads(prism("list", "--json", ssh=ssh).stdout)}

    assert ways["ssh"]["ready"]
    assert ways["ssh"]["settings"]["port"] == sshd.port
    assert f"port={sshd.port} keys={sshd.key}" in " ".join(prism("list", ssh=ssh).stdout.split())


def test_the_list_is_in_the_order_of_auto(prism):
    ranks = [one["rank"] for one in json.loads(prism("list", "--json").stdout)]

    assert ranks == sorted(ranks)
    assert len(ranks) == len(set(ranks)) == 10


def test_an_unknown_tunnel_is_told_with_those_that_there_are(prism):
    result = prism("test", "telegraph")

    assert result.exit_code == 1
    assert "ssh" in result.stderr


def test_what_is_missing_is_told_by_a_trial(prism):
    assert "names no server" in prism("test", "ssh").stderr


@pytest.mark.system
def test_a_trial_opens_looks_and_closes(prism, sshd):
    ssh = settings(sshd, known_hosts=[str(sshd.directory / "known_hosts")])
    trial = json.loads(prism("test", "ssh", "--json", ssh=ssh).stdout)

    assert trial["url"].startswith("http://127.0.0.1:")
    assert 0 < trial["opened_s"] <= trial["answered_s"]


@pytest.mark.system
def test_a_trial_of_an_address_that_leads_elsewhere_fails(prism, sshd, free_port):
    ssh = settings(
        sshd, known_hosts=[str(sshd.directory / "known_hosts")], url=f"http://127.0.0.1:{free_port}"
    )
    result = prism("test", "ssh", "--timeout", "1", ssh=ssh)

    assert result.exit_code == 1
    assert "does not lead here" in result.stderr


@pytest.mark.system
def test_a_person_is_asked_and_may_refuse(prism, sshd, tmp_path):
    result = prism("trust", f"127.0.0.1:{sshd.port}", said="n\n", ssh=settings(sshd))

    assert sshd.fingerprint in result.output
    assert "Nothing was stored." in result.stdout
    assert known(tmp_path, sshd) == []


@pytest.mark.system
def test_what_a_person_trusts_is_known(prism, sshd, tmp_path):
    assert prism("trust", f"127.0.0.1:{sshd.port}", said="y\n").exit_code == 0
    assert known(tmp_path, sshd) == [sshd.fingerprint]

    assert "is known" in prism("trust", f"127.0.0.1:{sshd.port}").stdout
    assert prism("test", "ssh", ssh=settings(sshd)).exit_code == 0


@pytest.mark.system
def test_nobody_to_ask_stores_nothing(prism, sshd, tmp_path):
    result = prism("trust", f"127.0.0.1:{sshd.port}")

    assert result.exit_code != 0
    assert known(tmp_path, sshd) == []


@pytest.mark.system
def test_a_script_names_the_fingerprint(prism, sshd, tmp_path):
    place = f"127.0.0.1:{sshd.port}"
    shown = json.loads(prism("trust", place, "--json").stdout)
    wrong = prism("trust", place, "--fingerprint", "SHA256:other")
    stored = json.loads(prism("trust", place, "--json", "--fingerprint", sshd.fingerprint).stdout)

    assert (shown["fingerprint"], shown["stored"]) == (sshd.fingerprint, False)
    assert (wrong.exit_code, "not SHA256:other" in wrong.stderr) == (1, True)
    assert stored["stored"]
    assert known(tmp_path, sshd) == [sshd.fingerprint]


@pytest.mark.system
def test_a_changed_key_is_told_before_it_is_trusted(prism, sshd, new_key, tmp_path):
    old = new_key(tmp_path / "old").with_suffix(".pub").read_text().split()[:2]
    (tmp_path / "known").write_text(f"[127.0.0.1]:{sshd.port} {' '.join(old)}\n")

    result = prism(
        "trust", f"127.0.0.1:{sshd.port}", said="n\n", ssh={"known_hosts": [str(tmp_path / "known")]}
    )

    assert "IT HAS CHANGED" in result.output


def test_what_is_no_place_is_wrong_usage(prism):
    assert prism("trust", "me@vps.example.org").exit_code == 2
