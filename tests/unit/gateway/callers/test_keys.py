"""API keys: their text, what is kept of them, and who is let in."""

import re

import attrs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.errors import InvalidParameter, Unauthorized
from prism_core.gateway.callers.keys import (
    LENGTH,
    Key,
    KeyTable,
    KeyWish,
    digest_of,
    new_key,
    presented,
)
from prism_core.rates import Allowance, Rate

NOW = 1_000_000.0
FORM = re.compile(r"prism_[0-9a-f]{8}_[0-9a-f]{64}")


class Clock:
    now = NOW

    def __call__(self):
        return self.now


def bearer(text):
    return {"authorization": f"Bearer {text}"}


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def kept():
    return new_key(KeyWish(), NOW)


def test_a_key_is_recognisable_and_selected_by_a_double_click(kept):
    key, text = kept

    assert FORM.fullmatch(text)
    assert len(text) == LENGTH
    assert text.split("_")[1] == key.id


def test_nothing_that_is_kept_holds_the_secret(kept):
    key, text = kept
    secret = text.rpartition("_")[2]

    assert secret not in repr(key)
    assert secret.encode() not in msgspec.json.encode(key)
    assert bytes.fromhex(secret) not in msgspec.msgpack.encode(key)


def test_a_key_outlives_its_row(kept):
    key, _ = kept

    assert msgspec.json.decode(msgspec.json.encode(key), type=Key) == key


def test_no_id_is_given_twice(monkeypatch):
    ids = iter(["aaaaaaaa", "bbbbbbbb"])
    monkeypatch.setattr(
        "prism_core.gateway.callers.keys.secrets.token_hex", lambda n: next(ids) if n == 4 else "0" * 2 * n
    )

    assert new_key(KeyWish(), NOW, {"aaaaaaaa"})[0].id == "bbbbbbbb"


def test_what_a_key_is_to_be_is_what_its_caller_is():
    wish = KeyWish("ann", ("churn", "fraud", "churn"), ("read",), "5/s burst 20", 1000, 3600.0)
    key, text = new_key(wish, NOW)
    caller = KeyTable([key], lambda: NOW).of(bearer(text))

    assert (key.name, key.expires) == ("ann", NOW + 3600)
    assert caller.id == f"key:{key.id}"
    assert (caller.scopes, caller.models) == ({"read"}, {"churn", "fraud"})
    assert caller.limits == Allowance(Rate(5, 1, 20), 1000)


def test_whoever_predicts_may_read_and_not_the_other_way_round():
    callers = {scope: new_key(KeyWish(scopes=(scope,)), NOW)[0].caller for scope in ("predict", "read")}

    assert callers["predict"].may("read", "churn")
    assert not callers["read"].may("predict", "churn")


@pytest.mark.parametrize(
    "change",
    [
        {"models": ("Churn!",)},
        {"models": ("../x",)},
        {"scopes": ("upload",)},
        {"scopes": ()},
        {"rate": "fast"},
        {"quota": -1},
        {"expires_s": float("nan")},
        {"expires_s": float("inf")},
        {"name": "x" * 101},
        {"name": "a\nb"},
    ],
)
def test_what_no_key_can_be(change):
    with pytest.raises(InvalidParameter):
        new_key(KeyWish(**change), NOW)


# --- who is let in --------------------------------------------------------------------------


SHOWN = {
    "bearer": lambda text: {"authorization": f"Bearer {text}"},
    "in other letters": lambda text: {"authorization": f"bearer  {text} "},
    "x-api-key": lambda text: {"x-api-key": text},
    "beside a password": lambda text: {"x-api-key": text, "authorization": "Basic dXNlcjpwYXNz"},
}


@pytest.mark.parametrize("way", SHOWN)
def test_the_ways_to_show_a_key(kept, way):
    key, text = kept

    assert KeyTable([key]).of(SHOWN[way](text)).id == f"key:{key.id}"


REFUSED = {
    "nothing": lambda text: {},
    "an empty header": lambda text: {"authorization": ""},
    "no scheme": lambda text: {"authorization": text},
    "another scheme": lambda text: {"authorization": f"Basic {text}"},
    "two headers": lambda text: {"authorization": f"Bearer {text}, Bearer {text}"},
    "too long": lambda text: {"authorization": f"Bearer {text}0"},
    "too short": lambda text: {"authorization": f"Bearer {text[:-1]}"},
    "upper case": lambda text: {"authorization": f"Bearer {text.upper()}"},
    "an empty key": lambda text: {"x-api-key": ""},
    "bytes": lambda text: {"x-api-key": "\xff" * LENGTH},
    "a wrong key beside it": lambda text: {"x-api-key": "prism_", "authorization": f"Bearer {text}"},
    "a cookie": lambda text: {"cookie": f"key={text}"},
}


@pytest.mark.parametrize("way", REFUSED)
def test_everything_else_is_refused(kept, way):
    key, text = kept
    with pytest.raises(Unauthorized) as refused:
        KeyTable([key]).of(REFUSED[way](text))

    assert text not in f"{refused.value.message}{refused.value.hint}"


@given(st.data())
def test_no_changed_key_opens(data):
    key, text = new_key(KeyWish(), NOW)
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(max_codepoint=255).filter(lambda c: c != text[at]))
    changed = f"{text[:at]}{other}{text[at + 1 :]}"

    with pytest.raises(Unauthorized):
        KeyTable([key]).of({"x-api-key": changed})


@given(st.dictionaries(st.sampled_from(["authorization", "x-api-key", "cookie"]), st.text()))
def test_any_headers_are_refused_and_never_fail(headers):
    with pytest.raises(Unauthorized):
        KeyTable([new_key(KeyWish(), NOW)[0]]).of(headers)


def test_an_empty_table_lets_nobody_in_with_any_id():
    for text in (f"prism_{'0' * 8}_{'0' * 64}", "", "x"):
        with pytest.raises(Unauthorized):
            KeyTable().of({"x-api-key": text})


def test_a_key_of_another_server_with_the_same_id_does_not_open(kept):
    key, _ = kept
    other, text = new_key(KeyWish(), NOW)
    text = text.replace(other.id, key.id)

    with pytest.raises(Unauthorized, match="not valid"):
        KeyTable([key]).of(bearer(text))


def test_a_key_expires(clock):
    key, text = new_key(KeyWish(expires_s=10), NOW)
    table = KeyTable([key], clock)
    assert table.of(bearer(text))
    clock.now = NOW + 10

    with pytest.raises(Unauthorized, match="has expired"):
        table.of(bearer(text))
    with pytest.raises(Unauthorized, match="not valid"):  # only its holder learns that
        table.of(bearer(f"{text[:-1]}{'1' if text[-1] == '0' else '0'}"))


def test_a_key_that_is_taken_away_opens_nothing_at_the_next_request(kept):
    key, text = kept
    table = KeyTable([key])
    assert table.of(bearer(text))
    table.replace([])

    with pytest.raises(Unauthorized):
        table.of(bearer(text))


def test_only_a_key_that_opened_is_noted_as_used(kept):
    key, text = kept
    table = KeyTable([key])
    with pytest.raises(Unauthorized):
        table.of(bearer(f"{text}0"))
    assert table.take_used() == set()
    table.of(bearer(text))

    assert table.take_used() == {key.id}
    assert table.take_used() == set()


def test_the_digest_is_of_the_whole_text(kept):
    key, text = kept

    assert key.digest == digest_of(text) != digest_of(text[15:])
    assert attrs.evolve(KeyWish(), name="x") != KeyWish()


def test_a_query_is_never_looked_at():
    """`presented` has headers only; this is what it returns where there are none."""
    assert presented({"host": "prism.test", "referer": "http://x/?api_key=prism_1"}) == ""
