"""Tell all that is wrong with the inputs of a request at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prism_core.plugin import Faults, MalformedBody, Signature, check_names, quote


def twice(name: str) -> MalformedBody:
    """Return the error of an input that has come already."""
    return MalformedBody(f"Input {quote(name)} occurs twice.")


def raise_all(wrong: Sequence[MalformedBody]) -> None:
    """Raise what is wrong with tensors themselves, if anything is, in one."""
    if len(wrong) == 1:
        raise wrong[0]
    if wrong:
        raise MalformedBody(
            f"{wrong[0].message[:-1]} ({len(wrong)} faults in all).",
            hint=wrong[0].hint,
            details={"errors": [error.message for error in wrong[:100]], "count": len(wrong)},
        )


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
