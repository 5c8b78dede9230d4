"""Members' answers become one in the client's own protocol, in the runtime of any member."""

from __future__ import annotations

from io import BytesIO

import attrs
import msgspec
import numpy as np
import orjson
import pytest

from prism_core import wire
from prism_core.errors import InvalidInput, ModelFailed, NotAcceptable
from prism_core.fitting.tensors import MEDIA_TYPE, unpack
from prism_core.inputs import prism_normalizers
from prism_core.manifest import Manifest
from prism_core.plugin import BaseModel, Batch, Signature, TensorSpec
from prism_core.runtime.combining import NPY, Combiner
from prism_core.runtime.session import Session
from prism_core.specs import TakesLong
from prism_core.traffic.combination import combination_of, only
from prism_core.traffic.ensemble import Ensemble
from prism_core.traffic.targets import Share, Target
from prism_oip import prism_normalizers as oip
from prism_oip.media import PREFIX, REST

NORMALIZERS = {one.media_type: one for one in (*prism_normalizers(), *oip())}


class Leaning(BaseModel):
    """Answers the class 1 with the probability that its name says."""

    def __init__(self, probability: float, label: str = "predictions", wide: str = "probabilities") -> None:
        self.probability, self.names = probability, (label, wide)
        self.signature = Signature(
            (TensorSpec("x", "FP64", (-1, 2)),),
            (TensorSpec(label, "INT64", (-1,)), TensorSpec(wide, "FP64", (-1, 2), columns=("0", "1"))),
            (label,),
            classes=(0, 1),
        )

    def predict(self, inputs: Batch) -> Batch:
        sure = np.tile([1 - self.probability, self.probability], (inputs.rows, 1))
        return Batch(dict(zip(self.names, (sure.argmax(axis=1), sure), strict=True)))


def session_of(name: str, model: BaseModel) -> Session:
    return Session(Manifest(name, 3, "toy", "toy", "a.toy", "sha256:0", 1, 0.0), model, NORMALIZERS)


SESSIONS = [
    session_of("a", Leaning(0.9)),
    session_of("b", Leaning(0.2, "label", "scores")),
    session_of("c", Leaning(0.6)),
]
SHARES = tuple(Share(model=session.manifest.model) for session in SESSIONS)


class Scene:
    """An ensemble whose members have answered a request."""

    def __init__(self, how: str = "mean", used=(0, 1, 2), by: int = 0, **facts) -> None:
        members = [(s.manifest.model, s.manifest.version, 1.0, s.signature) for s in SESSIONS]
        self.combination = combination_of(Ensemble(SHARES, how, **facts), members)
        self.used, self.by = used, SESSIONS[by]

    def asked(self, body, media_type="", query=""):
        """Return what each member answers."""
        answers = []
        for at in self.used:
            session = SESSIONS[at]
            batch = session.read(memoryview(body), media_type, query, MEDIA_TYPE, wire.MEMBER)
            answers.append(session.write(session.execute([batch]), MEDIA_TYPE, wire.MEMBER, batch.reply)[1])
        return answers

    def call(self, parts, media_type="", query="", accept="", style=""):
        """Return the frame and its body."""
        call = wire.Combine(
            1,
            media_type,
            accept,
            query=query,
            style=style,
            combination=msgspec.msgpack.encode(self.combination),
            members=list(self.used),
            sizes=list(map(len, parts)),
        )
        return call, memoryview(b"".join(parts))

    def combined(self, body, media_type="", query="", accept="", style=""):
        """Return the answer of the whole."""
        call = self.call([body, *self.asked(body, media_type, query)], media_type, query, accept, style)
        return Combiner(self.by, None).combine(*call)


BODY = b'{"input": [[1, 2], [3, 4]]}'
MEAN = pytest.approx(np.tile([1 - 1.7 / 3, 1.7 / 3], (2, 1)))


@pytest.mark.parametrize("by", [0, 1, 2])
def test_whoever_combines_answers_the_same(by):
    found = Scene(by=by).combined(BODY)
    answer = orjson.loads(found.body)

    assert (found.media_type, found.rows) == ("application/json", 2)
    assert np.array(answer.pop("probabilities")) == MEAN
    assert answer == {"model": "a", "version": 3, "predictions": [1, 1], "classes": [0, 1]}


def test_an_answer_says_which_member_is_the_first():
    assert orjson.loads(Scene(used=(1, 2)).combined(BODY).body)["model"] == "b"


def test_it_is_called_as_the_first_member_calls_it_even_without_its_answer():
    assert set(unpack(memoryview(Scene(used=(1,)).combined(BODY, accept=MEDIA_TYPE).body)).tensors) == {
        "predictions",
        "probabilities",
    }


def test_the_v1_style_holds_the_labels_alone():
    assert orjson.loads(Scene().combined(b'{"instances": [[1, 2]]}', style="v1").body) == {"predictions": [1]}


def test_csv_has_a_column_a_class():
    found = Scene("vote").combined(b"1,2\n3,4\n", "text/csv;header=false", accept="text/csv")

    assert found.body == b"predictions,agreement\n1,0.6666666666666666\n1,0.6666666666666666\n"
    assert Scene().combined(BODY, accept="text/csv").body.startswith(b"predictions,probabilities_0,")


def test_npy_holds_the_labels():
    assert Scene().combined(BODY, accept=NPY).body.startswith(b"\x93NUMPY")


@pytest.mark.parametrize("binary", [False, True])
def test_the_protocols_id_and_form_are_the_requests(binary):
    asked = {
        "id": "r-1",
        "inputs": [{"name": "x", "datatype": "FP64", "shape": [1, 2], "data": [1, 2]}],
        "outputs": [{"name": "predictions", "parameters": {"binary_data": binary}}],
    }
    found = bytes(Scene(by=1).combined(orjson.dumps(asked), REST, accept=REST).body)
    header_bytes, _ = PREFIX.unpack_from(found)
    told = found[PREFIX.size :]
    said = orjson.loads(told[:header_bytes] if header_bytes else told)

    assert (said["model_name"], said["id"]) == ("a", "r-1")
    (output,) = said["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("predictions", "INT64", [1])
    assert (np.frombuffer(told[header_bytes:], np.int64).tolist() if binary else output["data"]) == [1]


def test_what_is_asked_for_is_answered_with_the_labels_in_json_only():
    scene = Scene()

    assert orjson.loads(scene.combined(BODY, query="outputs=probabilities").body)["predictions"] == [1, 1]
    tensors = unpack(memoryview(scene.combined(BODY, query="outputs=probabilities", accept=MEDIA_TYPE).body))
    assert set(tensors.tensors) == {"probabilities"}


def test_an_output_that_the_ensemble_has_not_is_refused():
    with pytest.raises(InvalidInput, match="'scores'; it has predictions, probabilities"):
        Scene().combined(BODY, query="outputs=scores")


def test_a_media_type_that_nobody_writes_is_refused():
    with pytest.raises(NotAcceptable):
        Scene().combined(BODY, accept="text/html")


def test_columns_are_joined_for_a_stack():
    scene = Scene("stacking", stack=Target(model="meta"))
    found = scene.combined(BODY)
    matrix = np.lib.format.read_array(BytesIO(found.body))

    assert found.media_type == NPY
    assert matrix == pytest.approx(np.tile([0.1, 0.9, 0.8, 0.2, 0.4, 0.6], (2, 1)))


def test_the_answer_of_a_stack_is_passed_on_under_its_own_names():
    scene = Scene(used=(0,), by=1)
    scene.combination = only("meta", 3, SESSIONS[0].signature)
    answer = orjson.loads(scene.combined(BODY).body)

    assert (answer["model"], answer["predictions"], answer["classes"]) == ("meta", [1, 1], [0, 1])


def test_a_request_for_a_member_is_answered_whole_whatever_it_asks_for():
    answer = Scene(used=(1,)).asked(BODY, query="outputs=predictions")[0]

    assert set(unpack(memoryview(answer)).tensors) == {"label", "scores"}


def test_a_member_that_answers_all_of_it_anyway_computes_it_with_others():
    model = Leaning(0.5)
    model.signature = attrs.evolve(model.signature, default_outputs=())
    session = session_of("d", model)
    plain, member = (session.read(memoryview(BODY), style=style) for style in ("", wire.MEMBER))

    assert session.kind(plain) == session.kind(member)


def test_a_body_that_is_not_as_it_is_said_to_be_is_our_own_fault():
    scene, told = Scene(used=(0,)), []
    call, _ = scene.call([b"1", b"23456"])
    combiner = Combiner(SESSIONS[0], None)
    combiner.begin(call, memoryview(b"123"), told.append)

    assert "error_id" in combiner.failure(told[0]).details


def test_answers_of_different_lengths_are_the_models_fault():
    scene = Scene(used=(0, 2))
    one, two = (scene.asked(body) for body in (BODY, b'{"input": [[1, 2]]}'))

    with pytest.raises(ModelFailed, match="a/3 answered 2 rows, c/3 answered 1"):
        Combiner(SESSIONS[0], None).combine(*scene.call([BODY, one[0], two[1]]))


class Beside:
    """Does what is long when it is told to."""

    def __init__(self) -> None:
        self.asked = []

    def do(self, whole, done):
        self.asked.append((whole, done))
        return self


def test_a_large_request_is_combined_beside_the_others(monkeypatch):
    monkeypatch.setattr("prism_core.runtime.combining.LARGE_BYTES", 10)
    scene, told, beside = Scene(), [], Beside()
    job = Combiner(SESSIONS[0], beside).begin(*scene.call([BODY, *scene.asked(BODY)]), told.append)
    ((whole, done),) = beside.asked

    assert (job, told) == (beside, [])
    done(whole())
    assert orjson.loads(told[0].body)["predictions"] == [1, 1]


def test_what_turns_out_to_be_large_is_combined_beside_the_others_too():
    json = NORMALIZERS["application/json"]

    def hesitant(body, signature, request):
        if request.waited_for:
            raise TakesLong
        return json.normalize(body, signature, request)

    scene, told, beside = Scene(), [], Beside()
    normalizers = NORMALIZERS | {json.media_type: attrs.evolve(json, normalize=hesitant)}
    session = Session(SESSIONS[0].manifest, SESSIONS[0].model, normalizers)
    Combiner(session, beside).begin(*scene.call([BODY, *scene.asked(BODY)]), told.append)
    ((whole, _),) = beside.asked

    assert whole().rows == 2
