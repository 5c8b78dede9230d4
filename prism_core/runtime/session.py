"""What a request's bytes mean to one model, and what its answer is in bytes.

Pure: no socket, no clock. `read` turns a body into a checked batch, `execute` calls the
model, `write` turns outputs into a body.
"""

from __future__ import annotations

import difflib
import logging
import uuid
from collections.abc import Callable, Generator, Hashable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import attrs
import numpy as np

from prism_core.errors import (
    InternalError,
    InvalidInput,
    ModelFailed,
    NotAcceptable,
    PrismError,
    UnsupportedInput,
)
from prism_core.limits import Limits
from prism_core.manifest import Manifest
from prism_core.protocols import BaseModel
from prism_core.specs import Answer, Normalizer, Request
from prism_core.traffic.combination import member_outputs
from prism_core.types import Batch, Signature, concatenate
from prism_core.wire import MEMBER

JSON = "application/json"
# Distinct heads that are remembered; a hostile client may send a new one each time.
REMEMBERED = 256

log = logging.getLogger("prism.runtime")
Value = TypeVar("Value")


class Session:
    """One loaded model and the media types that it is spoken to in.

    Parameters
    ----------
    manifest, model
        The version and its loaded model.
    normalizers
        By media type, those that are available here.
    limits
        How much a body may make them do.
    """

    def __init__(
        self,
        manifest: Manifest,
        model: BaseModel,
        normalizers: Mapping[str, Normalizer],
        limits: Limits = Limits(),
    ) -> None:
        self.manifest = manifest
        self.model = model
        self.signature: Signature = model.signature
        self.joinable = manifest.row_independent and self.signature.batch_axis
        self._normalizers = normalizers
        self._limits = limits
        self._outputs = {spec.name for spec in self.signature.outputs}
        self._computed = self.signature.computed
        wanted = member_outputs(self.signature)
        self._of_member = () if wanted == self._computed else wanted
        self._readers: dict[tuple[str, str], tuple[Normalizer, Request, tuple[str, ...]]] = {}
        self._writers: dict[str, Normalizer] = {}

    def read(
        self,
        body: memoryview,
        media_type: str = "",
        query: str = "",
        accept: str = "",
        style: str = "",
        *,
        waited_for: bool = True,
    ) -> Batch:
        """Return the batch that ``body`` means; ``accept`` and ``style`` as the answer will be written.

        Raises
        ------
        UnsupportedInput, MalformedBody, InvalidInput
            With everything that is wrong, at once.
        TakesLong
            If it should not be ``waited_for``.
        """
        normalizer, request, outputs = self._readers.get((media_type, query)) or self._read_by(
            media_type, query
        )
        assert normalizer.normalize is not None
        if not waited_for:
            request = attrs.evolve(request, waited_for=False)
        return self._asked(normalizer.normalize(body, self.signature, request), outputs, accept, style)

    def read_steps(
        self, body: memoryview, media_type: str = "", query: str = "", accept: str = "", style: str = ""
    ) -> Generator[None, None, Batch | None]:
        """Do as `read`, in steps; None if only `read` can."""
        normalizer, request, outputs = self._read_by(media_type, query)
        if normalizer.normalize_steps is None:
            return None
        batch = yield from normalizer.normalize_steps(body, self.signature, request)
        return None if batch is None else self._asked(batch, outputs, accept, style)

    def _read_by(self, media_type: str, query: str) -> tuple[Normalizer, Request, tuple[str, ...]]:
        head = (media_type, query)
        return self._readers.get(head) or self._remember(self._readers, head, self._reader(media_type, query))

    def read_reply(
        self, body: memoryview, media_type: str = "", query: str = "", *, waited_for: bool = True
    ) -> tuple[tuple[str, ...], Any]:
        """Return which outputs ``body`` asks for, of whatever answers, and the ``reply`` of its batch.

        Raises
        ------
        PrismError, TakesLong
            As `read`.
        """
        normalizer, request, outputs = self._read_by(media_type, query)
        assert normalizer.normalize is not None
        if not waited_for:
            request = attrs.evolve(request, waited_for=False)
        batch = normalizer.normalize(body, self.signature, request)
        return batch.outputs or outputs, batch.reply

    def _asked(self, batch: Batch, outputs: tuple[str, ...], accept: str, style: str) -> Batch:
        if outputs and not batch.outputs:
            batch = Batch(batch.tensors, outputs, batch.parameters, batch.reply)
        if batch.parameters:  # of any normalizer; they are compared, and given to the model
            self._limits.check_depth(batch.parameters)
        if style == MEMBER:
            return Batch(batch.tensors, self._of_member, batch.parameters, batch.reply)
        if batch.outputs:
            self._check_outputs(batch.outputs)
            wanted = self._with_predictions(batch.outputs, accept, style)
            # To ask for what is answered anyway is to ask for nothing: such requests are joined with others.
            wanted = () if wanted == self._computed else wanted
            return Batch(batch.tensors, wanted, batch.parameters, batch.reply)
        return batch

    def kind(self, batch: Batch) -> Hashable | None:
        """Return what must be equal for two batches to be joined, or None if this one may not be."""
        if not self.joinable:
            return None
        try:
            shapes = tuple([(name, t.dtype.char, t.shape[1:]) for name, t in batch.tensors.items()])
        except AttributeError:  # a list: a sequence input
            return None
        if batch.parameters:
            return (shapes, batch.outputs, tuple(sorted((k, repr(v)) for k, v in batch.parameters.items())))
        return (shapes, batch.outputs)

    def execute(self, batches: Sequence[Batch]) -> Batch:
        """Call the model once for all ``batches``, which are of one kind; return checked outputs.

        Raises
        ------
        PrismError
            `ModelFailed` for whatever the model does wrong; what it raises of our own tree
            is passed on.
        """
        inputs = concatenate(batches)
        try:
            outputs = self.model.predict(inputs)
        except PrismError:
            raise
        except (Exception, SystemExit) as error:  # a model's sys.exit() ends its request, not the replica
            raise self._failed(f"The model raised {_kind(error)}.") from error
        wanted = inputs.outputs or self.signature.computed
        missing = [name for name in wanted if name not in outputs.tensors]
        if missing:
            raise self._failed(f"The model did not answer the output {missing[0]!r}.")
        if self.signature.batch_axis:
            rows = inputs.rows
            for name in wanted:
                if len(outputs.tensors[name]) != rows:
                    got = len(outputs.tensors[name])
                    raise self._failed(f"The model answered {got} rows in {name!r} for {rows} rows of input.")
        return outputs

    def write(
        self,
        outputs: Batch,
        accept: str = "",
        style: str = "",
        reply: Any = None,
        *,
        waited_for: bool = True,
    ) -> tuple[str, bytes]:
        """Return media type and body of an answer; ``reply`` is that of the request's batch.

        Raises
        ------
        NotAcceptable
            If no normalizer writes anything that ``accept`` allows.
        TakesLong
            If it should not be ``waited_for``.
        """
        normalizer = self._writers.get(accept) or self.writer(accept)
        assert normalizer.encode is not None
        return normalizer.media_type, normalizer.encode(self._answer(outputs, style, reply, waited_for))

    def write_steps(
        self, outputs: Batch, accept: str = "", style: str = "", reply: Any = None
    ) -> Generator[None, None, tuple[str, bytes | bytearray] | None]:
        """Do as `write`, in steps; None if only `write` can."""
        normalizer = self.writer(accept)
        if normalizer.encode_steps is None:
            return None
        body = yield from normalizer.encode_steps(self._answer(outputs, style, reply))
        return None if body is None else (normalizer.media_type, body)

    def _answer(self, outputs: Batch, style: str, reply: Any, waited_for: bool = False) -> Answer:
        model, version = self.manifest.model, self.manifest.version
        return Answer(model, version, outputs, self.signature, style or "prism", reply, waited_for)

    def check_accept(self, accept: str) -> None:
        """Raise `NotAcceptable` before anything is computed for nothing."""
        if accept not in self._writers:
            self.writer(accept)

    def warm_up(self) -> str:
        """Predict once on a plausible input; return "" or why that failed."""
        try:
            outputs = self.execute([self.model.example() or plausible(self.signature)])
            self.write(outputs, waited_for=False)
        except Exception as error:
            return f"The warm-up prediction failed: {error}"
        return ""

    def _reader(self, media_type: str, query: str) -> tuple[Normalizer, Request, tuple[str, ...]]:
        name, parameters = parse_media_type(media_type or JSON)
        normalizer = self._normalizers.get(name)
        if normalizer is None or normalizer.normalize is None:
            known = sorted(n for n, one in self._normalizers.items() if one.normalize)
            raise UnsupportedInput(
                f"No installed plugin reads {name!r}; this server reads {', '.join(known)}.",
                hint=_did_you_mean(name, known) or "Send the Content-Type that the body really has.",
            )
        parameters.update(parse_qsl(query, keep_blank_values=True))
        outputs = tuple(one for one in parameters.pop("outputs", "").split(",") if one)
        return normalizer, Request(parameters, self.manifest.options, self._limits, True), outputs

    def writer(self, accept: str) -> Normalizer:
        """Return what writes an answer that ``accept`` allows; raises `NotAcceptable`."""
        return self._writers.get(accept) or self._remember(self._writers, accept, self._writer(accept))

    def _writer(self, accept: str) -> Normalizer:
        for name in accepted(accept):
            if name in ("*/*", "application/*"):
                name = JSON
            elif name == "text/*":
                name = "text/csv"
            normalizer = self._normalizers.get(name)
            if normalizer is not None and normalizer.encode is not None:
                return normalizer
        known = sorted(n for n, one in self._normalizers.items() if one.encode)
        raise NotAcceptable(
            f"No installed plugin writes {accept!r}; this server writes {', '.join(known)}.",
            hint="Leave the Accept header out for JSON.",
        )

    def _with_predictions(self, outputs: tuple[str, ...], accept: str, style: str) -> tuple[str, ...]:
        # Only our own JSON promises them; elsewhere what is asked for is all that is answered.
        primary = self.signature.predictions
        if primary in outputs or style == "v1" or self.writer(accept).media_type != JSON:
            return outputs
        return (primary, *outputs)

    def _check_outputs(self, outputs: Sequence[str]) -> None:
        for name in outputs:
            if name not in self._outputs:
                raise InvalidInput(
                    f"The model has no output {name!r}; it has {', '.join(sorted(self._outputs))}.",
                    hint=_did_you_mean(name, self._outputs),
                )

    def internal(self, who: str, error: Exception | None = None) -> PrismError:
        """Return the error of an exception that is ``who``'s fault, not the caller's.

        ``error`` is the exception; None for the one that is being handled.
        """
        return self._failed(f"{who} of this server failed on the request.", InternalError, error)

    def _failed(
        self, message: str, kind: type[PrismError] = ModelFailed, error: Exception | None = None
    ) -> PrismError:
        error_id = uuid.uuid4().hex[:12]
        log.error("%s error_id=%s: %s", kind.code, error_id, message, exc_info=error or True)
        return kind(
            message,
            hint=f"`prism logs {self.manifest.model}` has the trace under this error_id.",
            details={"error_id": error_id},
        )

    @staticmethod
    def _remember(memory: dict[Any, Value], key: Hashable, value: Value) -> Value:
        if len(memory) >= REMEMBERED:
            memory.clear()
        memory[key] = value
        return value


def _kind(error: BaseException) -> str:
    """Return the name of an exception that everybody knows; what a model calls its own is its owner's."""
    kind = type(error)
    return kind.__name__ if kind.__module__ == "builtins" else "an exception"


def execute_each(
    batches: Sequence[Batch], execute: Callable[[Sequence[Batch]], Batch]
) -> list[tuple[Sequence[int], Batch | PrismError]]:
    """Execute all batches together; where that fails, halves, so that only the guilty ones fail.

    Returns
    -------
    list
        Pairs of the indices executed together and their joint outputs, or the error of a
        single index; every index exactly once.
    """

    def run(indices: range) -> list[tuple[Sequence[int], Batch | PrismError]]:
        try:
            return [(indices, execute([batches[i] for i in indices]))]
        except PrismError as error:
            if len(indices) == 1:
                return [(indices, error)]
            middle = len(indices) // 2
            return run(indices[:middle]) + run(indices[middle:])

    return run(range(len(batches)))


def parse_media_type(text: str) -> tuple[str, dict[str, str]]:
    """Split ``text/csv; header=false`` into its lower-case name and its parameters."""
    name, *rest = text.split(";")
    pairs = (part.partition("=") for part in rest)
    return name.strip().lower(), {k.strip().lower(): v.strip().strip('"') for k, _, v in pairs if k.strip()}


def accepted(accept: str) -> list[str]:
    """Return the media types of an Accept header, the most wanted first; ``*/*`` when there is none."""
    if not accept:
        return ["*/*"]
    ranked = []
    for place, part in enumerate(accept.split(",")):
        name, parameters = parse_media_type(part)
        try:
            quality = float(parameters.get("q", 1))
        except ValueError:
            quality = 0.0
        if quality > 0:
            ranked.append((-quality, place, name))
    return [name for _, _, name in sorted(ranked)]


def plausible(signature: Signature) -> Batch:
    """Make one row that fits the signature: first categories, zeros, empty strings; free axes are 1."""
    tensors = {}
    for spec in signature.inputs:
        shape = tuple(1 if size < 0 else size for size in spec.shape)
        fill = spec.categories[0] if spec.categories else "" if spec.datatype == "BYTES" else 0
        tensors[spec.name] = np.full(shape, fill, dtype=spec.dtype)
    return Batch(tensors)


def _did_you_mean(name: str, known: Any) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"Did you mean {close[0]!r}?" if close else ""
