"""What bytes mean to a model, by table."""

from __future__ import annotations

import attrs
import msgspec
import pytest

from prism_core.errors import InvalidInput, MalformedBody, ModelFailed, NotAcceptable, UnsupportedInput
from prism_core.limits import Limits
from prism_core.runtime.session import Session, accepted, execute_each, parse_media_type, plausible
from prism_core.specs import Normalizer
from prism_core.types import Batch, Signature, TensorSpec


def body(text: str) -> memoryview:
    return memoryview(text.encode())


def test_a_body_becomes_an_answer(session):
    outputs = session.execute([session.read(body("[1, 2]"), "application/json; charset=utf-8")])

    assert session.write(outputs) == ("application/json", b'{"predictions":[2.0,4.0],"halves":[0.5,1.0]}')


def test_no_content_type_means_json(session):
    assert session.read(body("[1]")).rows == 1


def test_an_unknown_media_type_names_the_known_ones(session):
    with pytest.raises(UnsupportedInput, match="application/json") as refused:
        session.read(body("[1]"), "application/jsn")

    assert "Did you mean" in refused.value.hint


@pytest.mark.parametrize("accept", ["", "*/*", "text/html, */*;q=0.1", "application/json", "application/*"])
def test_json_is_what_everybody_accepts(session, accept):
    session.check_accept(accept)
    assert session.write(Batch({}), accept)[0] == "application/json"


@pytest.mark.parametrize("accept", ["text/csv", "application/json;q=0", "nonsense"])
def test_what_cannot_be_written_is_refused(session, accept):
    with pytest.raises(NotAcceptable):
        session.check_accept(accept)


def test_any_text_is_csv(manifest, model, json):
    session = Session(manifest, model, {"text/csv": Normalizer("text/csv", None, json.encode)})

    assert session.write(Batch({}), "text/*, application/json;q=0.5")[0] == "text/csv"


def test_outputs_are_asked_for_by_name(session):
    assert session.read(body("[1]"), query="outputs=halves,predictions").outputs == ("halves", "predictions")
    with pytest.raises(InvalidInput, match="'halfs'") as refused:
        session.read(body("[1]"), query="outputs=halfs")
    assert "halves" in refused.value.hint


def test_parameters_are_not_nested_without_end(manifest, model, json):
    """They are compared by their text, which Python writes so deep and no deeper."""
    deep = {"a": [[[]]]}
    reader = attrs.evolve(json, normalize=lambda body, signature, request: Batch({}, (), deep))

    assert Session(manifest, model, {json.media_type: reader}, Limits(max_depth=4)).read(body("1"))
    with pytest.raises(MalformedBody, match="3 levels"):
        Session(manifest, model, {json.media_type: reader}, Limits(max_depth=3)).read(body("1"))


@pytest.mark.parametrize("query", ["", "outputs=halves", "outputs=halves,predictions"])
def test_a_reply_goes_from_the_reader_to_the_writer(manifest, model, json, query):
    """Whatever else is made of the batch on its way."""
    reader = attrs.evolve(
        json,
        normalize=lambda *told: msgspec.structs.replace(json.normalize(*told), reply="id-1"),
        encode=lambda answer: answer.reply.encode(),
    )
    session = Session(manifest, model, {json.media_type: reader})

    batch = session.read(body("[1]"), query=query)

    assert session.write(session.execute([batch]), reply=batch.reply) == ("application/json", b"id-1")


def test_replies_keep_nobody_apart(session, batch):
    """A batch is joined with those whose answers are written otherwise."""
    one, other = (msgspec.structs.replace(batch(1, 2), reply=reply) for reply in ({"id": "1"}, {"id": "2"}))

    assert session.kind(one) == session.kind(other)


@pytest.mark.parametrize(("query", "outputs"), [("predictions", ()), ("halves", ("predictions", "halves"))])
def test_who_asks_for_what_is_answered_anyway_is_joined_with_who_asks_for_nothing(session, query, outputs):
    """Clients of some protocols always say which outputs they want."""
    plain, asked = session.read(body("[1]")), session.read(body("[1]"), query=f"outputs={query}")

    assert asked.outputs == outputs
    assert (session.kind(plain) == session.kind(asked)) == (not outputs)


def test_limits_reach_the_normalizers(manifest, model, json):
    told = []
    reader = attrs.evolve(json, normalize=lambda body, signature, request: told.append(request) or Batch({}))
    Session(manifest, model, {json.media_type: reader}, Limits(max_values=7)).read(body("1"))

    assert told[0].limits == Limits(max_values=7)


def test_predictions_come_with_whatever_else_is_asked_for(session):
    """Clients read `predictions` from every JSON answer."""
    assert session.read(body("[1]"), query="outputs=halves").outputs == ("predictions", "halves")


def test_the_v1_style_answers_what_is_asked_for(session):
    """It holds one output only."""
    assert session.read(body("[1]"), query="outputs=halves", style="v1").outputs == ("halves",)


def test_another_format_answers_what_is_asked_for(manifest, model, json):
    """Raw bytes hold one output only."""
    raw = Normalizer("application/octet-stream", None, json.encode)
    session = Session(manifest, model, {one.media_type: one for one in (json, raw)})

    assert session.read(body("[1]"), query="outputs=halves", accept=raw.media_type).outputs == ("halves",)


def test_requests_of_one_kind_may_be_joined(session):
    one, two, other = (session.read(body("[1]"), query=q) for q in ("", "x=1", "outputs=halves"))

    assert session.kind(one) == session.kind(two)
    assert session.kind(one) != session.kind(other)


def test_an_exception_of_the_model_names_no_more_than_its_type(session):
    with pytest.raises(ModelFailed) as failed:
        session.execute([session.read(body("[-1]"))])

    assert failed.value.message == "The model raised ValueError."
    assert failed.value.details["error_id"]


def test_an_exit_of_the_model_is_its_failure(session):
    with pytest.raises(ModelFailed, match="SystemExit"):
        session.execute([session.read(body("[3.5]"))])


def test_bisecting_finds_every_guilty_one(session, batch):
    outcomes = execute_each([batch(v) for v in (1, -1, 2, 3, -4)], session.execute)

    assert sorted(i for indices, _ in outcomes for i in indices) == [0, 1, 2, 3, 4]
    assert [list(i) for i, outcome in outcomes if isinstance(outcome, ModelFailed)] == [[1], [4]]


def test_media_types_are_taken_apart():
    assert parse_media_type('Text/CSV; Header=false; x="y"') == ("text/csv", {"header": "false", "x": "y"})
    assert accepted("a/b;q=0.1, c/d, e/f;q=zero, g/h;q=0.5") == ["c/d", "g/h", "a/b"]


def test_a_plausible_row_fits_the_signature():
    signature = Signature(
        inputs=(
            TensorSpec("plan", "BYTES", (-1,), categories=("basic", "pro")),
            TensorSpec("x", "FP32", (-1, 3, -1)),
            TensorSpec("name", "BYTES", (-1,)),
        ),
        outputs=(),
    )
    tensors = plausible(signature).tensors

    assert tensors["plan"].tolist() == ["basic"]
    assert tensors["x"].shape == (1, 3, 1)
    assert tensors["name"].tolist() == [""]
