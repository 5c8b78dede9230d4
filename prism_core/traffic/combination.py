"""What the members of an ensemble answer, and how that becomes one answer. Plain values.

A gateway makes a `Combination` when it learns a route, from the members' signatures; a runtime is told it
with each request of which it combines the answers.

==================  ======================================================================================
of a member         what is meant
==================  ======================================================================================
its labels          its primary output: a class, or the numbers of a regression
its probabilities   the output ``probabilities``, or the one whose last axis is its classes
==================  ======================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import attrs
import msgspec

from prism_core.traffic.ensemble import Ensemble
from prism_core.types import Signature, TensorSpec

# Beside those of `Ensemble`: write the answers as the columns of one array, and pass on the only answer.
JOIN, ONLY = "join", "only"
# What a vote tells beside the label: which part of the weight was for it.
AGREEMENT = "agreement"


VOTES = ("vote", "quorum")


class Uncombinable(ValueError):
    """Members cannot be combined so; the message says why."""


class Member(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One member and what its outputs are called.

    Parameters
    ----------
    model, version, weight
        Who it is, and how much it counts.
    labels, probabilities
        Its outputs, "" where it has none.
    places
        Where the classes of the ensemble are among its own; () for the same places.
    """

    model: str
    version: int
    weight: float = 1.0
    labels: str = ""
    probabilities: str = ""
    places: tuple[int, ...] = ()

    @property
    def reference(self) -> str:
        """Its version, as clients name it."""
        return f"{self.model}/{self.version}"


class Combination(msgspec.Struct, array_like=True, frozen=True):
    """How the members' answers become one.

    Parameters
    ----------
    how
        Of `Ensemble.combine`, or `JOIN` or `ONLY`.
    need
        How many must agree on a label, for ``quorum``.
    members
        All of them, in the order of the route.
    labels, probabilities
        What the answer's outputs are called, as the first member calls them; "" for none.
    datatype
        Of its labels.
    classes
        In the order of its probabilities, where they are known.
    others
        Outputs that all members have and that are averaged as well.
    """

    how: str
    members: tuple[Member, ...]
    need: int = 1
    labels: str = ""
    probabilities: str = ""
    datatype: str = "FP64"
    classes: tuple[Any, ...] = ()
    others: tuple[str, ...] = ()


def member_outputs(signature: Signature) -> tuple[str, ...]:
    """Return the outputs that a member is asked for: those that it answers anyway, and probabilities."""
    found = probabilities_of(signature)
    names = signature.computed
    return names if found is None or found.name in names else (*names, found.name)


def probabilities_of(signature: Signature) -> TensorSpec | None:
    """Return the output that holds one probability a class, None where there is none."""
    width, labels = len(signature.classes), tuple(map(str, signature.classes))
    floats = [spec for spec in signature.outputs if spec.dtype.kind == "f" and len(spec.shape) > 1]
    wide = [spec for spec in floats if width and spec.shape[-1] == width]
    named = [spec for spec in floats if spec.name == "probabilities"]
    told = [spec for spec in wide if spec.columns == labels]
    return next(iter((*named, *told, *wide)), None)


def labels_of(signature: Signature) -> TensorSpec | None:
    """Return the output that holds a label or a number a row, None where there are probabilities only."""
    primary = next((spec for spec in signature.outputs if spec.name == signature.predictions), None)
    return None if primary == probabilities_of(signature) else primary


def only(model: str, version: int, signature: Signature) -> Combination:
    """Return how the answer of one version is passed on as it is."""
    return Combination(
        ONLY,
        (Member(model, version),),
        labels=signature.predictions,
        classes=signature.classes,
        others=member_outputs(signature),
    )


def signature_of(combination: Combination, lead: Signature) -> Signature:
    """Return what an ensemble takes and answers; ``lead`` is the signature of its first member."""
    labels, wide = labels_of(lead), probabilities_of(lead)
    outputs = [
        *((labels,) if combination.labels and labels else ()),
        *((wide,) if combination.probabilities and wide else ()),
        *(spec for spec in lead.outputs if spec.name in combination.others),
    ]
    if combination.how in VOTES:
        outputs.append(TensorSpec(AGREEMENT, "FP64", labels.shape if labels else (-1,)))
    primary = combination.labels or combination.probabilities
    return attrs.evolve(
        lead, outputs=tuple(outputs), default_outputs=(), classes=combination.classes, primary=primary
    )


def combination_of(ensemble: Ensemble, members: Sequence[tuple[str, int, float, Signature]]) -> Combination:
    """Return how the answers of ``members`` become one: of each its model, version, weight and signature.

    Raises
    ------
    Uncombinable
        If their answers are not of one kind.
    """
    how = JOIN if ensemble.combine == "stacking" else ensemble.combine
    roles = [_Roles(*one) for one in members]
    if how == JOIN:
        return Combination(how, tuple(one.member() for one in roles))
    if how in VOTES:
        return _voting(how, ensemble.need, roles)
    if how == "max_probability":
        return _surest(how, roles)
    if any(one.probabilities for one in roles):
        return _averaging_classes(how, roles)
    return _averaging_numbers(how, roles)


class _Roles:
    """A member and its outputs, while it is found out what can be made of them."""

    def __init__(self, model: str, version: int, weight: float, signature: Signature) -> None:
        self.model, self.version, self.weight = model, version, weight
        self.signature = signature
        self.labels = labels_of(signature)
        self.probabilities = probabilities_of(signature)
        self.name = f"{model}/{version}"

    def member(self, classes: tuple[Any, ...] = ()) -> Member:
        labels = self.labels.name if self.labels else ""
        probabilities = self.probabilities.name if self.probabilities else ""
        own = self.signature.classes
        places = tuple(own.index(one) for one in classes) if own and own != classes else ()
        return Member(self.model, self.version, self.weight, labels, probabilities, places)


def _voting(how: str, need: int, roles: Sequence[_Roles]) -> Combination:
    for one in roles:
        if one.labels is None or (one.labels.dtype.kind == "f" and not one.signature.classes):
            raise Uncombinable(f"{one.name} answers numbers, not labels, and {how} counts labels.")
    first = roles[0].labels
    assert first is not None
    _same_kind(roles)
    members = tuple(one.member() for one in roles)
    return Combination(how, members, need, first.name, datatype=first.datatype)


def _surest(how: str, roles: Sequence[_Roles]) -> Combination:
    _all_with_probabilities(how, roles)
    classes = _classes(roles)
    lead = roles[0]
    assert lead.probabilities
    unlabelled = next((one.name for one in roles if (one.labels is None) != (lead.labels is None)), "")
    if unlabelled:
        raise Uncombinable(f"{unlabelled} and {lead.name} do not both answer labels.")
    if lead.labels:
        _same_kind(roles)
    return _of_classes(how, roles, classes)


def _averaging_classes(how: str, roles: Sequence[_Roles]) -> Combination:
    _all_with_probabilities(how, roles)
    classes = _classes(roles)
    if roles[0].labels and not classes:
        raise Uncombinable(
            f"{roles[0].name} does not tell its classes, so no label can be told from the mean of "
            "probabilities; vote and max_probability can."
        )
    return _of_classes(how, roles, classes)


def _averaging_numbers(how: str, roles: Sequence[_Roles]) -> Combination:
    for one in roles:
        if one.labels is None or one.labels.dtype.kind != "f":
            kind = one.labels.datatype if one.labels else "nothing"
            raise Uncombinable(
                f"{one.name} answers {kind}: labels without probabilities have no {how}; vote counts them."
            )
    shapes = {one.name: _shape(one.labels) for one in roles}
    _one_shape(shapes)
    lead = roles[0].labels
    assert lead is not None
    members = tuple(one.member() for one in roles)
    return Combination(how, members, 1, lead.name, "", lead.datatype, (), _shared(roles))


def _of_classes(how: str, roles: Sequence[_Roles], classes: tuple[Any, ...]) -> Combination:
    lead = roles[0]
    assert lead.probabilities
    members = tuple(one.member(classes) for one in roles)
    labels, datatype = (lead.labels.name, lead.labels.datatype) if lead.labels else ("", "FP64")
    if labels and classes and (datatype == "BYTES") != isinstance(classes[0], str):
        raise Uncombinable(f"The labels of {lead.name} are {datatype}, its classes {_listed(classes)}.")
    return Combination(how, members, 1, labels, lead.probabilities.name, datatype, classes)


def _all_with_probabilities(how: str, roles: Sequence[_Roles]) -> None:
    for one in roles:
        if one.probabilities is None:
            raise Uncombinable(f"{one.name} answers no probabilities, which {how} needs; vote does not.")
    _one_shape({one.name: _shape(one.probabilities) for one in roles})


def _classes(roles: Sequence[_Roles]) -> tuple[Any, ...]:
    """Return the classes of the first member that tells them; () where none does."""
    told = [one for one in roles if one.signature.classes]
    if not told:
        return ()
    first = told[0].signature.classes
    for one in told:
        own = one.signature.classes
        if len(own) != len(first) or set(own) != set(first):
            raise Uncombinable(
                f"{told[0].name} knows the classes {_listed(first)}, {one.name} knows {_listed(own)}."
            )
    return first


def _same_kind(roles: Sequence[_Roles]) -> None:
    lead = roles[0]
    assert lead.labels
    for one in roles:
        assert one.labels
        if (one.labels.datatype == "BYTES") != (lead.labels.datatype == "BYTES"):
            raise Uncombinable(
                f"The labels of {lead.name} are {lead.labels.datatype}, those of {one.name} are "
                f"{one.labels.datatype}."
            )


def _shape(spec: TensorSpec | None) -> tuple[int, ...]:
    """Return the shape of a row; a column of one is the same as none."""
    assert spec is not None
    shape = spec.shape[1:]
    return shape if shape != (1,) else ()


def _one_shape(shapes: dict[str, tuple[int, ...]]) -> None:
    """Refuse what cannot be of one shape; -1 may be any length."""
    (lead, first), *others = shapes.items()
    for name, shape in others:
        if len(shape) != len(first) or any(
            one != other and -1 not in (one, other) for one, other in zip(shape, first, strict=True)
        ):
            raise Uncombinable(f"A row of {lead} is of shape {first}, one of {name} of shape {shape}.")


def _shared(roles: Sequence[_Roles]) -> tuple[str, ...]:
    """Return the outputs of floats that all members compute, beside their primary ones."""
    names: list[str] = [name for name in roles[0].signature.computed]
    for one in roles:
        specs = {spec.name: spec for spec in one.signature.outputs}
        own = {name for name in one.signature.computed if specs[name].dtype.kind == "f"}
        primary = one.signature.predictions
        names = [name for name in names if name in own and name != primary]
    return tuple(name for name in names if _alike(name, roles))


def _alike(name: str, roles: Sequence[_Roles]) -> bool:
    found = [spec for one in roles for spec in one.signature.outputs if spec.name == name]
    return len({spec.shape[1:] for spec in found}) == 1


def _listed(classes: Iterable[Any]) -> str:
    shown = [repr(one) for one in classes]
    return ", ".join(shown[:5]) + (f", ... ({len(shown)} in all)" if len(shown) > 5 else "")


# --- stacking ----------------------------------------------------------------------------------


def check_stack(members: Sequence[tuple[str, int, float, Signature]], stack: Signature) -> None:
    """Refuse a stacking version that takes another number of columns than the members answer.

    Raises
    ------
    Uncombinable
        If it does, as far as that is known, or a member answers text without probabilities.
    """
    widths = [_width(_Roles(*one)) for one in members]
    takes = _columns_taken(stack)
    if None in widths or takes is None:
        return
    total = sum(width for width in widths if width is not None)
    if total != takes:
        told = ", ".join(f"{one[0]}/{one[1]}: {width}" for one, width in zip(members, widths, strict=True))
        raise Uncombinable(f"The members answer {total} columns ({told}); the stack takes {takes}.")


def _width(one: _Roles) -> int | None:
    """Return how many columns a member's answer is; None where that is not known before."""
    spec = one.probabilities or one.labels
    if spec is None:
        raise Uncombinable(f"{one.name} answers nothing that could be a column.")
    if spec.datatype == "BYTES":
        raise Uncombinable(f"{one.name} answers text without probabilities, which is no column of numbers.")
    size = 1
    for length in spec.shape[1:]:
        size *= length
    return size if all(length >= 0 for length in spec.shape[1:]) else None


def _columns_taken(stack: Signature) -> int | None:
    if stack.columnar and len(stack.inputs) > 1:
        return len(stack.inputs)
    (first, *more) = stack.inputs
    if more or len(first.shape) != 2:
        raise Uncombinable("The stack takes one matrix or columns; its inputs are something else.")
    return first.shape[1] if first.shape[1] >= 0 else None
