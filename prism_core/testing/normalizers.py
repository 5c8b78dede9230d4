r"""`NormalizerContract`: what every media type must do, as tests to inherit.

For example::

    class TestReversed(NormalizerContract):
        normalizer = Normalizer("application/x-reversed", read, write)
        signature = Signature((TensorSpec("text", "BYTES", (-1,)),), (TensorSpec("label", "INT64", (-1,)),))

        bodies = {b"dlrow": {"text": np.array(["world"], dtype=object)}}
        malformed = [b"\xff"]
        answers = [({"label": np.array([1])}, b"1")]
"""

from __future__ import annotations

import random
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import numpy as np
import pytest

from prism_core.errors import InvalidInput, MalformedBody, RequestError
from prism_core.specs import Answer, Normalizer, Request, TakesLong
from prism_core.testing.tensors import assert_fits, assert_same
from prism_core.types import Batch, Signature

MUTATIONS = 300

Result = TypeVar("Result")


class NormalizerContract:
    """Tests of a `Normalizer`. Subclass, and give bodies with what they mean.

    Attributes
    ----------
    normalizer
        The record that is tested.
    signature
        Of the model that is spoken to.
    parameters, options
        What `Request` holds: media type and query parameters, and the version's options.
    bodies
        Bodies, and the tensors that they mean.
    malformed
        Bodies that are not what the media type says.
    misfits
        Bodies that are, but do not fit ``signature``.
    answers
        Output tensors, and the bytes that are written for them.
    """

    normalizer: Normalizer
    signature: Signature
    parameters: Mapping[str, str] = {}
    options: Mapping[str, Any] = {}
    bodies: Mapping[bytes, Mapping[str, Any]] = {}
    malformed: Sequence[bytes] = ()
    misfits: Sequence[bytes] = ()
    answers: Sequence[tuple[Mapping[str, Any], bytes]] = ()

    def read(self, body: bytes) -> Batch:
        """Return what ``body`` means."""
        if self.normalizer.normalize is None:
            pytest.skip("this media type is written only")
        request = Request(dict(self.parameters), dict(self.options))
        return self.normalizer.normalize(memoryview(body), self.signature, request)

    def write(self, tensors: Mapping[str, Any], style: str = "prism") -> bytes:
        """Return the body of an answer with these outputs."""
        if self.normalizer.encode is None:
            pytest.skip("this media type is read only")
        return self.normalizer.encode(Answer("churn", 3, Batch(tensors), self.signature, style))

    def test_the_media_type_is_bare_and_lower_case(self) -> None:
        """It is compared with what a header says, after that was lowered and cut at its parameters."""
        kind, slash, name = self.normalizer.media_type.partition("/")

        assert kind
        assert slash
        assert name
        assert self.normalizer.media_type == self.normalizer.media_type.lower().partition(";")[0].strip()

    def test_it_reads_or_writes(self) -> None:
        """Otherwise it does nothing."""
        assert self.normalizer.normalize or self.normalizer.encode

    def test_a_body_means_its_tensors(self) -> None:
        """All of them, with the signature's datatypes and shapes."""
        for body, tensors in self.bodies.items():
            batch = self.read(body)

            assert_fits(batch, self.signature.inputs)
            assert_same(batch.tensors, tensors)

    def test_reading_is_pure(self) -> None:
        """The same body means the same twice, and one batch does not change another."""
        for body, tensors in self.bodies.items():
            first, second = self.read(body), self.read(body)
            for tensor in first.tensors.values():
                if isinstance(tensor, np.ndarray) and tensor.flags.writeable:
                    tensor[...] = np.zeros_like(tensor)

            assert_same(second.tensors, tensors)

    def test_a_malformed_body_is_said_to_be_one(self) -> None:
        """With status 400; a body of a few bytes never costs more than an error."""
        for body in self.malformed:
            with pytest.raises(MalformedBody):
                self.read(body)

    def test_a_misfit_is_said_to_be_one(self) -> None:
        """With status 422."""
        for body in self.misfits:
            with pytest.raises(InvalidInput):
                self.read(body)

    def test_in_steps_it_means_the_same(self) -> None:
        """`normalize_steps` and `encode_steps`, where there are any; None leaves it to the plain ones."""
        request = Request(dict(self.parameters), dict(self.options))
        if self.normalizer.normalize_steps:
            for body, tensors in self.bodies.items():
                batch = in_steps(self.normalizer.normalize_steps(memoryview(body), self.signature, request))
                if batch is not None:
                    assert_same(batch.tensors, tensors)
            for body in (*self.malformed, *self.misfits):
                try:
                    steps = self.normalizer.normalize_steps(memoryview(body), self.signature, request)
                    assert in_steps(steps) is None
                except RequestError:
                    continue
        if self.normalizer.encode_steps:
            for tensors, _ in self.answers:
                answer = Answer("churn", 3, Batch(tensors), self.signature)
                assert in_steps(self.normalizer.encode_steps(answer)) in (None, self.write(tensors))

    def test_whoever_is_waited_for_says_the_same_or_that_it_takes_long(self) -> None:
        """A small body that turns out to be large must not hold up others: `TakesLong`."""
        request = Request(dict(self.parameters), dict(self.options), waited_for=True)
        if self.normalizer.normalize:
            for body, tensors in self.bodies.items():
                with suppress(TakesLong):
                    found = self.normalizer.normalize(memoryview(body), self.signature, request)
                    assert_same(found.tensors, tensors)
        if self.normalizer.encode:
            for tensors, _ in self.answers:
                with suppress(TakesLong):
                    answer = Answer("churn", 3, Batch(tensors), self.signature, waited_for=True)
                    assert self.normalizer.encode(answer) == self.write(tensors)

    def test_nothing_is_no_input(self) -> None:
        """An empty body is the caller's mistake, and told so, or means no more than a row."""
        try:
            assert self.read(b"").rows <= 1
        except RequestError as error:
            assert error.message  # noqa: PT017 - both ways are right

    def test_whatever_comes_in_is_the_callers_fault(self) -> None:
        """Damaged bodies are read, or refused with a `RequestError`; nothing else is ever raised."""
        chance = random.Random(0)
        for body in self.bodies:
            for _ in range(MUTATIONS):
                damaged = damage(body, chance)
                try:
                    self.read(damaged)
                except RequestError:
                    continue
                except Exception as error:
                    pytest.fail(f"{damaged!r} raised {error!r}")

    def test_an_answer_is_written_as_expected(self) -> None:
        """Byte for byte."""
        for tensors, body in self.answers:
            assert bytes(self.write(tensors)) == body

    def test_an_answer_can_be_written_in_every_style(self) -> None:
        """The KServe V1 route asks for style ``v1``; a media type need not know it."""
        for tensors, _ in self.answers:
            assert isinstance(self.write(tensors, "v1"), bytes)


def in_steps(steps: Generator[None, None, Result]) -> Result:
    """Return what a generator returns."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result


def damage(body: bytes, chance: random.Random) -> bytes:
    """Return ``body`` cut, with bytes changed, or with a part of it twice."""
    damaged = bytearray(body)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(damaged) + 1)
        match chance.randrange(3):
            case 0:
                del damaged[at:]
            case 1:
                damaged[at : at + 1] = bytes([chance.randrange(256)])
            case _:
                damaged[at:at] = damaged[max(0, at - 8) : at]
    return bytes(damaged)
