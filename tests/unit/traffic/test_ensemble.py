"""What an ensemble may be, and what its members' answers become."""

from __future__ import annotations

import attrs
import pytest

from prism_core.traffic.combination import (
    Combination,
    Uncombinable,
    check_stack,
    combination_of,
    labels_of,
    member_outputs,
    only,
    probabilities_of,
    signature_of,
)
from prism_core.traffic.ensemble import Ensemble
from prism_core.traffic.targets import Share, Target
from prism_core.types import Signature, TensorSpec

X = (TensorSpec("x", "FP64", (-1, 4)),)
LABELS, NUMBERS = TensorSpec("predictions", "INT64", (-1,)), TensorSpec("predictions", "FP64", (-1,))
PROBABILITIES = TensorSpec("probabilities", "FP64", (-1, 2), columns=("0", "1"))
CLASSIFIER = Signature(X, (LABELS, PROBABILITIES, TensorSpec("decision", "FP64", (-1,))), classes=(0, 1))
ONNX = Signature(
    X,
    (TensorSpec("output_label", "INT64", (-1,)), TensorSpec("output_probability", "FP32", (-1, 2))),
    ("output_label",),
    classes=(1, 0),
    primary="output_label",
)
SVM = Signature(X, (LABELS,))
REGRESSOR = Signature(X, (NUMBERS,))
TEXTS = Signature(X, (TensorSpec("predictions", "BYTES", (-1,)),))
SOFTMAX = Signature(X, (TensorSpec("scores", "FP32", (-1, 2)),), classes=(0, 1))


def shares(count: int, *weights: float) -> tuple[Share, ...]:
    return tuple(Share(at + 1, weight=weights[at] if weights else 1.0) for at in range(count))


def of(how: str, *signatures: Signature, **more) -> Combination:
    members = [(f"m{at}", at + 1, 1.0, signature) for at, signature in enumerate(signatures)]
    return combination_of(Ensemble(shares(len(signatures)), how, **more), members)


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"members": ()}, "1 to 16 members"),
        ({"members": shares(17)}, "1 to 16 members"),
        ({"members": (Share(1), Share(1, weight=2))}, "named twice"),
        ({"members": (Share(model="rf"), Share(model="rf"))}, "'rf' is named twice"),
        ({"members": shares(2), "need": 3}, "need is 3"),
        ({"members": shares(2), "combine": "quorum"}, "at least two"),
        ({"members": shares(2, 1, 2)}, "weighted and vote only"),
        ({"members": shares(2, 1, 0), "combine": "vote"}, "weight 0"),
        ({"members": shares(2), "combine": "stacking"}, "name it in stack"),
        ({"members": shares(2), "stack": Target(3)}, "name it in stack"),
    ],
)
def test_what_cannot_answer_is_refused(facts, why):
    with pytest.raises(ValueError, match=why):
        Ensemble(**facts)


def test_stacking_needs_all_members():
    assert Ensemble(shares(3), "stacking", stack=Target(model="meta")).needed == 3
    assert Ensemble(shares(3), "vote", need=2).needed == 2


@pytest.mark.parametrize(
    ("signature", "labels", "probabilities"),
    [
        (CLASSIFIER, "predictions", "probabilities"),
        (ONNX, "output_label", "output_probability"),
        (SVM, "predictions", None),
        (REGRESSOR, "predictions", None),
        (SOFTMAX, None, "scores"),
    ],
)
def test_labels_and_probabilities_are_told_apart(signature, labels, probabilities):
    named = [one and one.name for one in (labels_of(signature), probabilities_of(signature))]

    assert named == [labels, probabilities]


def test_a_member_is_asked_for_its_probabilities_too():
    assert member_outputs(ONNX) == ("output_label", "output_probability")
    assert member_outputs(CLASSIFIER) == ("predictions", "probabilities", "decision")


def test_classes_are_aligned_by_their_names():
    made = of("mean", CLASSIFIER, ONNX)

    assert (made.labels, made.probabilities, made.classes) == ("predictions", "probabilities", (0, 1))
    assert [member.places for member in made.members] == [(), (1, 0)]


def test_the_answer_is_called_as_the_first_member_calls_it():
    made = of("mean", ONNX, CLASSIFIER)

    assert (made.labels, made.probabilities, made.classes) == ("output_label", "output_probability", (1, 0))


def test_probabilities_alone_are_averaged_alone():
    assert (of("mean", SOFTMAX, CLASSIFIER).labels, of("mean", SOFTMAX).probabilities) == ("", "scores")


def test_outputs_of_floats_that_all_have_are_averaged_too():
    sure = attrs.evolve(REGRESSOR, outputs=(NUMBERS, TensorSpec("std", "FP32", (-1,))))

    assert of("mean", sure, sure).others == ("std",)
    assert of("mean", sure, REGRESSOR).others == ()


@pytest.mark.parametrize(
    ("how", "signatures", "why"),
    [
        ("mean", (SVM, SVM), "m0/1 answers INT64: labels without probabilities have no mean"),
        ("mean", (REGRESSOR, SVM), "m1/2 answers INT64"),
        ("mean", (CLASSIFIER, SVM), "m1/2 answers no probabilities"),
        ("mean", (TEXTS,), "m0/1 answers BYTES"),
        ("mean", (CLASSIFIER, attrs.evolve(CLASSIFIER, classes=(0, 2))), r"knows the classes 0, 1, .* 0, 2"),
        ("mean", (attrs.evolve(CLASSIFIER, classes=()),), "does not tell its classes"),
        ("mean", (REGRESSOR, attrs.evolve(REGRESSOR, outputs=(TensorSpec("y", "FP64", (-1, 3)),))), "shape"),
        ("max_probability", (CLASSIFIER, SVM), "m1/2 answers no probabilities"),
        ("max_probability", (CLASSIFIER, SOFTMAX), "do not both answer labels"),
        ("vote", (CLASSIFIER, REGRESSOR), "m1/2 answers numbers, not labels"),
        ("vote", (SVM, TEXTS), "are INT64, those of m1/2 are BYTES"),
    ],
)
def test_members_that_do_not_fit_are_refused_by_name(how, signatures, why):
    with pytest.raises(Uncombinable, match=why):
        of(how, *signatures)


def test_the_only_answer_keeps_its_names():
    passed = only("meta", 3, ONNX)

    assert (passed.labels, passed.classes, passed.members[0].reference) == (
        "output_label",
        (1, 0),
        "meta/3",
    )


@pytest.mark.parametrize(
    ("how", "signatures", "outputs"),
    [
        ("mean", (CLASSIFIER, ONNX), ["predictions", "probabilities"]),
        ("mean", (SOFTMAX,), ["scores"]),
        ("mean", (REGRESSOR,), ["predictions"]),
        ("vote", (ONNX, SVM), ["output_label", "agreement"]),
        ("max_probability", (ONNX,), ["output_label", "output_probability"]),
    ],
)
def test_an_ensemble_has_a_signature_of_its_own(how, signatures, outputs):
    told = signature_of(of(how, *signatures), signatures[0])

    assert [spec.name for spec in told.outputs] == outputs
    assert (told.inputs, told.predictions, told.computed) == (X, outputs[0], tuple(outputs))


@pytest.mark.parametrize(
    ("stack", "why"),
    [
        (Signature((TensorSpec("x", "FP64", (-1, 3)),), (LABELS,)), ""),
        (Signature((TensorSpec("x", "FP64", (-1, -1)),), (LABELS,)), ""),
        (
            Signature(
                tuple(TensorSpec(f"c{at}", "FP64", (-1,)) for at in range(3)), (LABELS,), columnar=True
            ),
            "",
        ),
        (Signature((TensorSpec("x", "FP64", (-1, 4)),), (LABELS,)), r"3 columns \(rf/1: 2, svm/2: 1\)"),
        (Signature((TensorSpec("x", "BYTES", (-1,)),), (LABELS,)), "one matrix"),
    ],
)
def test_a_stack_takes_as_many_columns_as_the_members_answer(stack, why):
    members = [("rf", 1, 1.0, CLASSIFIER), ("svm", 2, 1.0, SVM)]
    if not why:
        check_stack(members, stack)
        return
    with pytest.raises(Uncombinable, match=why):
        check_stack(members, stack)


def test_text_without_probabilities_is_no_column():
    with pytest.raises(Uncombinable, match="which is no column"):
        check_stack([("t", 1, 1.0, TEXTS)], REGRESSOR)


def test_a_stack_takes_no_member_whose_signature_names_an_output_that_it_has_not():
    with pytest.raises(Uncombinable, match="nothing that could be a column"):
        check_stack([("t", 1, 1.0, Signature(X, (NUMBERS,), primary="label"))], REGRESSOR)
