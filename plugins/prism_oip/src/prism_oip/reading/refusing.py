"""Tell all that is wrong with the inputs of a request at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from prism_core.plugin import Faults, MalformedBody, Signature, check_names, quote

# As many are told.
REPORTED = 100


def twice(name: str) -> MalformedBody:
    """Return the error of an input that has come already."""
    return MalformedBody(f"Input {quote(name)} occurs twice.")


def raise_all(wrong: Sequence[MalformedBody]) -> None:
    """Raise what is wrong with tensors themselves, if anything is, in one."""
    if len(wrong) == 1:
        raise wrong[0]
    if wrong:
        least = "at least " if len(wrong) >= REPORTED else ""
        raise MalformedBody(
            f"{wrong[0].message[:-1]} ({least}{len(wrong)} faults in all).",
            hint=wrong[0].hint,
            details={"errors": [error.message for error in wrong[:REPORTED]], "count": len(wrong)},
        )


def check_count(names: Sequence[str], signature: Signature) -> None:
    """Refuse more inputs than the model has before anything is made of them: a body names a million.

    Raises
    ------
    MalformedBody, InvalidInput
        With names that occur twice, or that the model does not have.
    """
    if len(names) <= len(signature.inputs):
        return
    raise_all([twice(name) for name in islice(_again(names), REPORTED)])
    faults = Faults()
    check_names(names, [spec.name for spec in signature.inputs], faults)
    faults.check()


def _again(names: Sequence[str]) -> Iterator[str]:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            yield name
        seen.add(name)


def check_values(faults: Faults, names: Iterable[str], signature: Signature) -> None:
    """Raise what is wrong with values, if anything is, and with the names of inputs, too.

    Raises
    ------
    InvalidInput
        With all of it.
    """
    if faults.count:
        check_names(names, [spec.name for spec in signature.inputs], faults)
        faults.check()
