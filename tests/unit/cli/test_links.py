"""Links as their owner sees them: what is sent for options, which a word means, what is said of them."""

import json
import time

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.cli.commands.unshare import told
from prism_core.cli.invitation import address_of, facts_of, link_json, snippets_of, warnings_of
from prism_core.cli.links import addresses, make, meant, settled, split_address
from prism_core.cli.options import Common
from prism_core.cli.tunnels import troubles
from prism_core.cli.wishes import wish_of
from prism_core.errors import ConfigError, LinkNotFound, TunnelFailed, TunnelRefused
from prism_core.rest.snippets import PASSWORD

NOTHING = {
    "no_page": False,
    "password": False,
    "password_file": None,
    "expires_s": None,
    "uses": None,
    "rate": "",
    "tunnel": "",
    "origins": (),
    "verbs": (),
    "note": "",
}
LINK = {
    "slug": "k3m9x2p7qa",
    "model": "churn@champion",
    "token": "prl_secret",
    "url": "http://10.0.0.1:8000/s/k3m9x2p7qa",
    "predict_url": "http://10.0.0.1:8000/s/k3m9x2p7qa/predict",
    "verbs": ["predict", "metadata"],
    "rate": None,
    "uses": None,
    "used": 0,
    "origins": [],
    "password": False,
    "page": True,
    "tunnel": "lan",
    "state": "up",
    "reason": "",
    "expires": None,
    "expired": False,
    "last_used": None,
}
TENSOR = {"name": "x", "datatype": "FP64", "shape": [-1, 1]}
VERSION = {
    "model": "churn",
    "version": 3,
    "digest": "sha256:a",
    "warnings": [],
    "signature": {"inputs": [TENSOR], "outputs": [TENSOR]},
}


@pytest.fixture(autouse=True)
def no_password(monkeypatch):
    monkeypatch.delenv(PASSWORD, raising=False)


# --- what is wished for -------------------------------------------------------------------------


def test_a_wish_says_only_what_was_said():
    assert wish_of(**NOTHING) == {}


@pytest.mark.parametrize(
    ("said", "wish"),
    [
        ({"expires_s": 7200.0, "uses": 5, "rate": "5/s"}, {"expires_s": 7200.0, "uses": 5, "rate": "5/s"}),
        ({"no_page": True}, {"page": False}),
        ({"origins": ("https://a.example",)}, {"origins": ("https://a.example",)}),
        ({"tunnel": "auto", "note": "Hello.", "verbs": ("metadata",)},) * 2,
    ],
)
def test_what_was_said_is_sent(said, wish):
    assert wish_of(**NOTHING | said) == wish


def test_a_password_comes_from_a_file_or_the_environment(tmp_path, monkeypatch):
    (tmp_path / "password").write_text("of a file\nand more\n")
    monkeypatch.setenv(PASSWORD, "of the environment")
    with (tmp_path / "password").open() as file:
        assert wish_of(**NOTHING | {"password_file": file})["password"] == "of a file"

    assert wish_of(**NOTHING | {"password": True})["password"] == "of the environment"
    assert wish_of(**NOTHING) == {}


def test_where_nobody_can_type_a_password_the_next_step_is_told(tmp_path):
    with pytest.raises(ConfigError) as caught:
        wish_of(**NOTHING | {"password": True})
    assert PASSWORD in caught.value.hint

    (tmp_path / "empty").touch()
    with (tmp_path / "empty").open() as file, pytest.raises(ConfigError, match="empty"):
        wish_of(**NOTHING | {"password_file": file})


def test_every_tunnel_that_auto_tried_is_told_with_its_reason(answering):
    reasons = {"relay": "No server is set.", "ssh": "Nobody answers."}
    problem = {
        "code": "tunnel_failed",
        "detail": "No tunnel came up. relay: ...",
        "details": {"reasons": reasons},
    }

    with pytest.raises(TunnelFailed) as caught:
        make(answering(lambda _: httpx.Response(502, json=problem)), "churn", {})

    assert caught.value.message == "No tunnel came up."
    assert caught.value.details["errors"] == ["relay: No server is set.", "ssh: Nobody answers."]


def test_a_tunnel_is_waited_for(answering):
    states = iter(["connecting", "connecting", "up"])
    waited = []

    def answer(_):
        now = LINK | {"state": next(states), "url": "https://new.example/s/k3m9x2p7qa"}
        return httpx.Response(200, json={"links": [now], "tunnels": []})

    link = settled(answering(answer), LINK | {"state": "connecting"}, waited.append)

    assert (link["state"], len(waited)) == ("up", 3)
    assert addresses(link)["url"] == "https://new.example/s/k3m9x2p7qa#prl_secret"


def test_a_tunnel_that_will_not_come_up_leaves_no_link(answering):
    asked = []

    def answer(request):
        asked.append((request.method, request.url.path))
        return httpx.Response(200, json={})

    failed = LINK | {"tunnel": "ssh", "state": "failed", "reason": "The host key is unknown."}
    with pytest.raises(TunnelRefused, match="ssh does not come up"):
        settled(answering(answer), failed)

    assert asked == [("DELETE", "/admin/v1/links/k3m9x2p7qa")]


# --- which are meant ----------------------------------------------------------------------------

LINKS = [
    LINK,
    LINK | {"slug": "b2b2b2b2b2", "model": "churn"},
    LINK | {"slug": "churn", "model": "digits/2", "tunnel": "relay"},
]


@pytest.mark.parametrize(
    ("text", "slugs"),
    [
        ("b2b2b2b2b2", ["b2b2b2b2b2"]),
        ("churn@champion", ["k3m9x2p7qa"]),
        ("digits", ["churn"]),
        ("digits/2", ["churn"]),
        ("churn", ["churn"]),  # a slug goes before a model
        ("http://10.0.0.1:8000/s/b2b2b2b2b2#prl_x", ["b2b2b2b2b2"]),
        ("https://elsewhere.example/deep/s/b2b2b2b2b2/predict", ["b2b2b2b2b2"]),
    ],
)
def test_a_link_is_meant_by_slug_address_or_model(text, slugs):
    assert [link["slug"] for link in meant(LINKS, text)] == slugs


def test_a_model_means_all_its_links():
    assert [link["slug"] for link in meant(LINKS[:2], "churn")] == ["k3m9x2p7qa", "b2b2b2b2b2"]


@pytest.mark.parametrize(("links", "hint"), [(LINKS, "b2b2b2b2b2 to churn"), ([], "prism share")])
def test_an_unknown_link_is_told_with_those_there_are(links, hint):
    with pytest.raises(LinkNotFound) as caught:
        meant(links, "nowhere")
    assert hint in caught.value.hint


@given(st.from_regex(r"[a-z0-9]{10}", fullmatch=True), st.from_regex(r"[a-z0-9_]{1,60}", fullmatch=True))
def test_an_address_is_taken_apart(slug, token):
    base = "https://links.example.org:8443/below"

    assert split_address(f"{base}/s/{slug}#{token}") == (base, slug, token)
    assert split_address(f"{base}/s/{slug}/predict") == (base, slug, "")


@pytest.mark.parametrize(
    "text", ["churn", "churn/3", "/s/x", "https://a.example/model/s/predict", "https://a/s/"]
)
def test_what_is_no_address_of_a_link(text):
    assert split_address(text) == ("", "", "")


# --- what is said -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("of", "words"),
    [
        (
            {},
            ["when it is revoked", "predict, and see what the model takes", "churn@champion, now version 3"],
        ),
        ({"expires": time.time() + 7199.0, "uses": 500}, ["in 2 h, or after 500 predictions"]),
        ({"uses": 500}, ["after 500 predictions"]),
        ({"rate": "5/s"}, ["5/s, by all who have it together"]),
        ({"password": True}, ["send it on another way"]),
        ({"origins": ["https://a.example"]}, ["pages of https://a.example may use it"]),
        ({"verbs": ["metadata"]}, ["not predict"]),
        ({"page": False}, ["token prl_secret"]),
        ({}, ["lan, up: your own network; --tunnel auto"]),
        ({"url": "http://127.0.0.1:8000/s/k3m9x2p7qa"}, ["this machine only"]),
        ({"tunnel": "relay"}, ["through relay, up"]),
        ({"url": "https://10.0.0.1:8000/s/k3m9x2p7qa"}, ["prism trust"]),
        ({"url": ""}, ["token prl_secret"]),
    ],
)
def test_a_link_is_told_in_words(of, words):
    text = "\n".join(f"{name} {value}" for name, value in facts_of(addresses(LINK | of), VERSION))

    assert all(word in text for word in words), text


def test_the_address_to_send_is_the_page_s_or_where_programs_ask():
    assert address_of(addresses(LINK)) == f"{LINK['url']}#prl_secret"
    assert address_of(addresses(LINK | {"page": False})) == LINK["predict_url"]
    assert "prism links" in address_of(addresses(LINK | {"url": "", "predict_url": ""}))


def test_a_link_that_does_not_work_yet_says_why():
    assert not list(warnings_of(LINK))
    (down,) = warnings_of(LINK | {"tunnel": "relay", "state": "down", "reason": "Nobody answers."})

    assert "Nobody answers." in down
    assert "when relay is up" in down


def test_three_languages_ask_with_the_token(tmp_path):
    found = dict(snippets_of(LINK, VERSION, None, Common(data_dir=tmp_path)))

    assert list(found) == ["# curl", "# Python", "// JavaScript"]
    assert all(LINK["predict_url"] in text and "Bearer prl_secret" in text for text in found.values())


def test_curl_is_told_of_the_own_authority_where_the_link_is_served_by_it(tmp_path):
    (tmp_path / "tls").mkdir()
    (tmp_path / "tls" / "ca.pem").touch()

    def line(**of):
        link = LINK | {"predict_url": "https://a.example/s/k3m9x2p7qa/predict", **of}
        return dict(snippets_of(link, VERSION, None, Common(data_dir=tmp_path)))["# curl"]

    assert f"--cacert {tmp_path / 'tls' / 'ca.pem'}" in line(tunnel="lan")
    assert "--cacert" not in line(tunnel="relay")


def test_a_link_that_lets_nobody_predict_has_no_request_to_paste(tmp_path):
    link = LINK | {"verbs": ["metadata"]}

    assert not list(snippets_of(link, VERSION, None, Common(data_dir=tmp_path)))


def test_programs_get_the_five_names_and_the_model():
    told = json.loads(json.dumps(link_json(LINK, VERSION)))

    assert list(told)[:5] == ["url", "predict_url", "token", "slug", "expires"]
    assert (told["model"], told["version"]) == ("churn@champion", 3)


def test_what_was_revoked_is_told():
    assert told(LINKS[:1], LINKS) == ["The link k3m9x2p7qa to churn@champion is revoked."]
    assert told([], []) == ["There are no links."]


def test_a_tunnel_that_is_not_up_is_told_with_how_long_and_why():
    tunnel = {"name": "relay", "state": "down", "since": time.time() - 200, "reason": "Cut.", "attempts": 4}

    assert troubles([tunnel]) == ["relay is down for 3 min, tried 4 times: Cut."]
    assert troubles([tunnel | {"state": "up"}]) == []
    assert "has failed" in troubles([tunnel | {"state": "failed"}])[0]
