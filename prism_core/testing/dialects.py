"""`DialectContract`: what every dialect must do, as tests to inherit.

For example::

    class TestOip(DialectContract):
        dialect = DIALECT
        normalizers = (REST,)
        paths = {"/v2/models/churn/infer": ("churn", "")}
        heads = ({}, {"content-encoding": "gzip"})
        refused = ({"inference-header-content-length": "many"},)
        answers = ((PREFIX.pack(0, 0) + b"{}", b"{}"),)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import pytest

from prism_core import errors
from prism_core.dialects import Dialects, media_type_of, said, written
from prism_core.errors import InternalError, PrismError
from prism_core.serving import Dialect
from prism_core.specs import Normalizer

# What the core writes into each answer, and what says where an answer ends.
OF_THE_CORE = frozenset(
    {
        "connection",
        "content-length",
        "date",
        "server",
        "server-timing",
        "transfer-encoding",
        "x-prism-batch",
        "x-prism-cache",
        "x-prism-model-version",
        "x-request-id",
    }
)
_LINE = re.compile(rb"([a-z0-9-]+): [^\r\n]+")


class DialectContract:
    """Tests of a `Dialect`. Subclass, and say what it is given and what comes of it.

    Attributes
    ----------
    dialect
        The record.
    normalizers
        Those of the plugin: they read what `Dialect.read` names, and write what `Dialect.accept` does.
    paths
        Path -> model and version, "" for none, as they stand in it.
    others
        Paths that are not the dialect's.
    heads
        Headers, their names in lower case, that are read.
    refused
        Headers that are not.
    answers
        Pairs of what a runtime answers and what is sent of it.
    """

    dialect: Dialect
    normalizers: Sequence[Normalizer]
    paths: Mapping[str, tuple[str, str]]
    others: Sequence[str] = ()
    heads: Sequence[Mapping[str, str]]
    refused: Sequence[Mapping[str, str]] = ()
    answers: Sequence[tuple[bytes, bytes]]

    def test_its_paths_are_found(self) -> None:
        """With the model and the version in them."""
        known = Dialects([self.dialect])
        assert self.paths
        for path, meant in self.paths.items():
            found = known.find(path)
            assert found is not None, path
            assert (found.model, found.version) == meant

    def test_other_paths_are_not_its_own(self) -> None:
        """Nor is a path of its own with more behind it."""
        known = Dialects([self.dialect])
        longer = [path + more for path in self.paths for more in ("/x/y/z", "/../x", "\n")]
        for path in ("/", "/model/churn/predict", "/s/slug/predict", *self.others, *longer):
            assert known.find(path) is None, path

    def test_a_head_names_a_media_type_that_is_read(self) -> None:
        """Each time the same one."""
        readers = {one.media_type for one in self.normalizers if one.normalize}
        assert self.heads
        for headers in self.heads:
            media_type = media_type_of(self.dialect, headers)
            assert media_type.partition(";")[0] in readers
            assert not set("\r\n") & set(media_type)
            assert media_type_of(self.dialect, headers) == media_type

    def test_the_runtime_can_write_what_is_accepted(self) -> None:
        """Or each prediction would be refused."""
        assert self.dialect.accept in {one.media_type for one in self.normalizers if one.encode}

    def test_a_wrong_head_is_refused(self) -> None:
        """As its sender's fault."""
        for headers in self.refused:
            with pytest.raises(PrismError) as refused:
                media_type_of(self.dialect, headers)
            assert refused.value.status < 500

    def test_a_packed_body_is_refused_unless_it_is_unpacked(self) -> None:
        """What is not in ``encodings`` does not come through."""
        assert all(encoding == encoding.lower() for encoding in self.dialect.encodings)
        with pytest.raises(errors.UnsupportedInput):
            media_type_of(self.dialect, {"content-encoding": "x-nobodys"})

    def test_an_answer_is_header_lines_and_a_body(self) -> None:
        """The lines say what the body is, and nothing that the core says."""
        assert self.answers
        for body, sent in self.answers:
            lines, told = written(self.dialect, body)
            names = [_name_of(line) for line in lines.removesuffix(b"\r\n").split(b"\r\n")]
            assert names.count("content-type") == 1
            assert not OF_THE_CORE & set(names)
            assert bytes(told) == sent
            assert written(self.dialect, memoryview(body)) == (lines, told)

    def test_an_answer_is_not_copied(self) -> None:
        """What is sent is a part of what came."""
        for body, _ in self.answers:
            _, told = written(self.dialect, body)
            assert told is body or memoryview(told).obj is body

    def test_what_is_no_answer_is_told(self) -> None:
        """A replica has run somebody's model: it may say anything. What cannot be sent is raised."""
        for body, _ in self.answers:
            for torn in (b"", body[:1], body[: len(body) // 2], b"\xff" * len(body)):
                try:
                    lines, _ = written(self.dialect, torn)
                except Exception:
                    continue
                assert [_name_of(line) for line in lines.removesuffix(b"\r\n").split(b"\r\n")]

    def test_any_error_can_be_told(self) -> None:
        """In its own words, and its message is among them."""
        for error in _errors():
            media_type, body = said(self.dialect.problem, error)
            assert media_type
            assert b"model" in body or not error.message

    def test_a_fault_can_be_found_in_the_log(self) -> None:
        """By the id that its sender is told."""
        error = InternalError("It failed.", details={"error_id": "ab12cd34ef56"})
        _, body = said(self.dialect.problem, error)

        assert b"ab12cd34ef56" in body

    def test_odd_words_can_be_told(self) -> None:
        """A message may quote what a client or a model has said."""
        for message in ("a\r\nb: c", "☃", "\ud800", '"', "<b>", "x" * 100_000):
            said(self.dialect.problem, InternalError(message, hint=message, details={"odd": message}))

    def test_its_headers_are_lower_case(self) -> None:
        """As pages of other origins are told them."""
        for name in self.dialect.headers:
            assert _LINE.fullmatch(name.encode() + b": x")


def _name_of(line: bytes) -> str:
    found = _LINE.fullmatch(line)
    assert found, line
    return found[1].decode()


def _errors() -> Iterator[PrismError]:
    details = {"retry_after_s": 1, "allow": "POST"}
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, PrismError):
            yield kind("There is no model.", hint="Look again.", details=details)
