"""What a link may be, and what is kept of it."""

from __future__ import annotations

import re

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.errors import InvalidParameter
from prism_core.gateway.callers.link import (
    ALPHABET,
    MAX_NOTE,
    VERBS,
    Link,
    LinkWish,
    digest_of,
    new_link,
)
from prism_core.rates import MOST, Rate

NOW = 1_800_000_000.0
TOKEN = re.compile(r"prl_[a-z2-7]{52}")


def test_a_link_is_what_was_wished():
    wish = LinkWish(
        "churn@champion",
        ("predict", "predict"),
        rate="60/min",
        uses=500,
        expires_s=7200,
        origins=("https://app.example.org", "https://app.example.org"),
        page=False,
        note=" Try it!\n",
    )
    link, token = new_link(wish, NOW)

    assert link == Link(
        link.slug,
        digest_of(token),
        "churn@champion",
        ("predict",),
        "60/min",
        500,
        ("https://app.example.org",),
        b"",
        False,
        "",
        "Try it!",
        NOW,
        NOW + 7200,
    )


def test_no_two_links_are_alike_and_none_holds_its_secrets():
    made = [new_link(LinkWish("churn"), NOW) for _ in range(200)]

    assert all(TOKEN.fullmatch(token) for _, token in made)
    assert all(re.fullmatch(f"[{ALPHABET}]{{10}}", link.slug) for link, _ in made)
    assert len({link.slug for link, _ in made}) == len({token for _, token in made}) == 200
    assert not any(token in repr(link) for link, token in made)


def test_a_password_is_kept_as_a_slow_hash_with_a_salt():
    one, other = (new_link(LinkWish("churn", password="swordfish"), NOW)[0] for _ in range(2))

    assert one.password != other.password
    assert b"swordfish" not in one.password
    assert len(one.password) == 16 + 64


def test_a_slug_that_is_taken_is_not_given(monkeypatch):
    slugs = iter(["first", "second"])
    monkeypatch.setattr("prism_core.gateway.callers.link.new_slug", lambda: next(slugs))

    assert new_link(LinkWish("churn"), NOW, {"first"})[0].slug == "second"


WRONG = {
    "a model that is none": {"model": "Churn!"},
    "no model": {"model": ""},
    "an alias that is none": {"model": "churn@"},
    "two aliases": {"model": "churn@a@b"},
    "an alias and a version": {"model": "churn@a/1"},
    "a version that is none": {"model": "churn/x"},
    "version 0": {"model": "churn/0"},
    "a version with zeros": {"model": "churn/03"},
    "another link": {"model": "~tk5mfw9n2x"},
    "a path": {"model": "../admin"},
    "a line": {"model": "churn\n"},
    "no verb": {"verbs": ()},
    "an unknown verb": {"verbs": ("predict", "explain")},
    "a rate that is none": {"rate": "often"},
    "no rate at all": {"rate": "0/s"},
    "negative uses": {"uses": -1},
    "too many uses": {"uses": MOST + 1},
    "no time": {"expires_s": -1.0},
    "endless time": {"expires_s": float("inf")},
    "time that is no number": {"expires_s": float("nan")},
    "an origin that is none": {"origins": ("app.example.org",)},
    "an origin with a path": {"origins": ("https://app.example.org/",)},
    "the origin null": {"origins": ("null",)},
    "very many origins": {"origins": tuple(f"https://{n}.example" for n in range(21))},
    "a short password": {"password": "abc"},
    "a long password": {"password": "x" * 201},
    "a long note": {"note": "x" * (MAX_NOTE + 1)},
    "a note that moves the cursor": {"note": "\x1b[2J"},
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_no_link_can_be(wrong):
    with pytest.raises(InvalidParameter):
        new_link(attrs.evolve(LinkWish("churn"), **WRONG[wrong]), NOW)


@pytest.mark.parametrize("model", ["churn", "a.b-c_1", "churn@champion", "churn@latest", "churn/30"])
def test_every_reference_to_a_model(model):
    assert new_link(LinkWish(model), NOW)[0].model == model


@pytest.mark.parametrize(
    ("verbs", "scopes"),
    [(("predict",), {"predict", "read"}), (("metadata",), {"read"}), (VERBS, {"predict", "read"})],
)
def test_who_may_predict_may_see_what_the_model_takes(verbs, scopes):
    caller = new_link(LinkWish("churn@champion", verbs, uses=3), NOW)[0].caller()

    assert caller.scopes == scopes
    assert caller.models == {"churn"}
    assert caller.limits.quota == 3


def test_a_link_without_a_rate_has_that_of_the_server():
    rate = Rate.parse("5/s")

    assert new_link(LinkWish("churn"), NOW)[0].caller(rate).limits.rate == rate
    assert new_link(LinkWish("churn"), NOW)[0].caller().limits.rate is None
    assert new_link(LinkWish("churn", rate="1/h"), NOW)[0].caller(rate).limits.rate == Rate.parse("1/h")


@given(st.text())
def test_no_text_breaks_a_digest(text):
    assert len(digest_of(text)) == 32
