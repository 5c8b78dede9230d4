"""The contract of dialects, held by the smallest that there is; and broken by some that are none."""

import attrs
import pytest

from prism_core.testing import DialectContract
from tests.integration.prism_toy import DIALECT, NORMALIZER


class TestToy(DialectContract):
    dialect = DIALECT
    normalizers = (NORMALIZER,)
    paths = {
        "/toy/churn": ("churn", ""),
        "/toy/churn@champion": ("churn@champion", ""),
        "/toy/churn/3": ("churn", "3"),
    }
    others = ("/toys", "/toy/")
    heads = ({}, {"x-toy-hurry": "1"})
    answers = ((b"\0a:1,2", b"a:1,2"), (b"\1" + b"a" * 1000, b"a" * 1000))


def broken(**changes):
    return type("Broken", (TestToy,), {"dialect": attrs.evolve(DIALECT, **changes)})()


@pytest.mark.parametrize(
    ("test", "changes"),
    [
        ("its_paths_are_found", {"routes": "/toy/(?P<model>[a-z]+)"}),
        ("other_paths_are_not_its_own", {"routes": "(?P<model>.*)"}),
        ("a_head_names_a_media_type_that_is_read", {"read": lambda headers: "text/none"}),
        ("the_runtime_can_write_what_is_accepted", {"accept": "text/none"}),
        ("a_packed_body_is_refused_unless_it_is_unpacked", {"encodings": frozenset({"x-nobodys"})}),
        ("an_answer_is_header_lines_and_a_body", {"write": lambda body: (b"x-a: b\r\n", body[1:])}),
        (
            "an_answer_is_header_lines_and_a_body",
            {"write": lambda body: (b"content-type: a\r\ncontent-length: 1\r\n", body[1:])},
        ),
        ("an_answer_is_not_copied", {"write": lambda body: (b"content-type: a\r\n", bytes(body)[1:])}),
        ("what_is_no_answer_is_told", {"write": lambda body: (b"Odd\r\n", body)}),
        ("any_error_can_be_told", {"problem": lambda error: ("text/plain", b"no")}),
        ("a_fault_can_be_found_in_the_log", {"problem": lambda error: ("a/b", error.message.encode())}),
        ("odd_words_can_be_told", {"problem": lambda error: ("text/plain", error.message.encode())}),
        ("its_headers_are_lower_case", {"headers": ("X-Toy",)}),
    ],
)
def test_what_breaks_the_contract_is_found(test, changes):
    with pytest.raises((AssertionError, UnicodeEncodeError, pytest.fail.Exception)):
        getattr(broken(**changes), f"test_{test}")()
