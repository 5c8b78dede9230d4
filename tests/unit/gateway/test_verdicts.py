"""Feedback item by item: what is said, what is refused, and that one harms no other."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.errors import InvalidInput, MalformedBody
from prism_core.gateway.traffic.journal import Row
from prism_core.gateway.traffic.kinds import Remembered
from prism_core.gateway.traffic.verdicts import MAX_ITEMS, Verdicts, pieces_of


def row(request="r", model="m", reward=None, answer=b'{"predictions": ["a"]}', seq=1):
    return Row(
        seq,
        reward,
        Remembered(
            0.0, request, model, 1, f"{model}/1", f"{model}/1", media_type="application/json", answer=answer
        ),
    )


def taken(*items, rows=(), may=lambda answer: True, tolerance=0.0):
    """Return what comes of items; bytes are sent as they are."""
    verdicts = Verdicts()
    for place, item in enumerate(items):
        piece = item if isinstance(item, bytes) else msgspec.json.encode(item)

        def found(request):
            return [one for one in rows if one.answer.request == request]

        verdicts.take(place, piece, found, may, lambda model: tolerance)
    return verdicts


@pytest.mark.parametrize(
    ("item", "reward"),
    [
        ({"label": "a"}, 1),
        ({"label": "b"}, 0),
        ({"labels": ["a"]}, 1),
        ({"reward": 0.25}, 0.25),
        ({"reward": 1}, 1),
        ({"correct": True}, 1),
        ({"correct": False}, 0),
        ({"label": "a", "model": "m"}, 1),
    ],
)
def test_rewards(item, reward):
    verdicts = taken({"request_id": "r", **item}, rows=[row()])

    assert [of for _, of in verdicts.rewards.values()] == [reward]


@pytest.mark.parametrize(
    ("item", "code", "said"),
    [
        (b"{", "malformed_body", "no JSON"),
        (b"\xff", "malformed_body", "no JSON"),
        (b"[" * 100_000, "invalid_input", "Expected `object`"),
        (b"3", "invalid_input", "Expected `object`"),
        ({}, "invalid_input", "request_id"),
        ({"request_id": ""}, "invalid_input", "request_id"),
        ({"request_id": "x" * 129, "label": 1}, "invalid_input", "request_id"),
        ({"request_id": 3, "label": 1}, "invalid_input", "request_id"),
        ({"request_id": "r"}, "invalid_input", "not none"),
        ({"request_id": "r", "label": 1, "reward": 1}, "invalid_input", "label and reward"),
        ({"request_id": "r", "label": 1, "lable": 1}, "invalid_input", "lable"),
        ({"request_id": "r", "reward": 1.5}, "invalid_input", "reward"),
        ({"request_id": "r", "reward": -0.1}, "invalid_input", "reward"),
        ({"request_id": "r", "correct": "yes"}, "invalid_input", "correct"),
        ({"request_id": "r", "label": None}, "invalid_input", "A label is"),
        ({"request_id": "r", "labels": []}, "invalid_input", "0 labels"),
        ({"request_id": "r", "labels": "a"}, "invalid_input", "labels"),
        (b'{"request_id": "r", "reward": NaN}', "malformed_body", "no JSON"),
        (b'{"request_id": "r", "reward": 1e999}', "invalid_input", "no feedback"),
        ({"request_id": "s", "label": 1}, "answer_not_found", "'s'"),
        ({"request_id": "r", "label": 1, "model": "n"}, "answer_not_found", "'r'"),
        ({"request_id": "judged", "reward": 0.5}, "answer_judged", "before"),
    ],
)
def test_what_is_wrong_is_told(item, code, said):
    """With its place, and the item after it counts."""
    rows = [row(), row("judged", reward=0.7, seq=2), row("next", seq=3)]
    verdicts = taken(item, {"request_id": "next", "label": "a"}, rows=rows)

    (refused,) = verdicts.refused
    assert (refused.index, refused.error.code) == (0, code)
    assert said in refused.error.message
    assert verdicts.document()["judged"] == 1


def test_a_label_is_in_no_message():
    """It is about somebody."""
    for secret in ("Jane Doe", ["Jane Doe"], {"name": "Jane Doe"}):
        verdicts = taken(
            {"request_id": "r", "label": secret}, {"request_id": "r", "correct": secret}, rows=[row()]
        )

        assert "Jane" not in str(verdicts.document())


def test_the_same_again_is_fine():
    rows = [row(reward=0.5)]

    assert taken({"request_id": "r", "reward": 0.5}, rows=rows).document()["repeated"] == 1


def test_twice_in_one_request():
    verdicts = taken(*({"request_id": "r", "reward": of} for of in (0.5, 0.5, 0.6)), rows=[row()])

    assert verdicts.document()["judged"] == 1
    assert verdicts.document()["repeated"] == 1
    assert [one.error.code for one in verdicts.refused] == ["answer_judged"]


def test_an_id_of_several_models():
    """Somebody has to say which one is meant."""
    rows = [row(seq=1), row(model="n", seq=2)]
    verdicts = taken(
        {"request_id": "r", "label": "a"}, {"request_id": "r", "label": "a", "model": "n"}, rows=rows
    )

    assert "m, n" in verdicts.refused[0].error.message
    assert [one.answer.model for one, _ in verdicts.rewards.values()] == ["n"]


def test_who_may_not_hears_what_nobody_does():
    """Whether there is such an answer is not told either."""
    said = {"request_id": "r", "reward": 1}
    none, forbidden = taken(said), taken(said, rows=[row()], may=lambda answer: False)

    assert none.document() == forbidden.document()


def test_errors_are_counted_and_some_are_told():
    document = taken(*[{"request_id": "x", "reward": 1}] * 150).document()

    assert document["refused"] == 150
    assert len(document["errors"]) == 100


# --- bodies ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "media_type", "pieces", "alone"),
    [
        (b'{"a": 1}', "application/json", 1, True),
        (b' \n{"a":\n 1}', "", 1, True),
        (b'[{"a": 1}, 2, "x"]', "application/json", 3, False),
        (b'{"a": 1}\n\n{"b": 2}\r\n', "application/x-ndjson; charset=utf-8", 2, False),
        (b"what is this", "text/plain", 1, True),
    ],
)
def test_pieces(body, media_type, pieces, alone):
    found, single = pieces_of(body, media_type)

    assert (len(found), single) == (pieces, alone)


@pytest.mark.parametrize(
    ("body", "media_type", "error"),
    [
        (b"[1, 2", "", MalformedBody),
        (b"[" * 100_000, "", MalformedBody),
        (b"[]", "", InvalidInput),
        (b"", "application/x-ndjson", InvalidInput),
        (b"[" + b"1," * MAX_ITEMS + b"1]", "", InvalidInput),
        (b"1\n" * (MAX_ITEMS + 1), "application/x-ndjson", InvalidInput),
    ],
)
def test_bodies_that_are_none(body, media_type, error):
    with pytest.raises(error):
        pieces_of(body, media_type)


@given(body=st.binary(max_size=300), lines=st.booleans())
def test_no_body_breaks_it(body, lines):
    """Whatever comes is taken, or refused in our words."""
    try:
        pieces, _ = pieces_of(body, "application/x-ndjson" if lines else "")
    except (InvalidInput, MalformedBody):
        return

    assert len(taken(*pieces, rows=[row()]).refused) <= len(pieces)
