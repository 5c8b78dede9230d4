"""The error tree: codes, statuses, and the way over a wire and between processes."""

import json
import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core import errors, plugin
from prism_core.errors import InvalidInput, PrismError, all_errors, error_from_code

OWN = {code: cls for code, cls in all_errors().items() if cls.__module__ == "prism_core.errors"}
BRANCHES = {"PluginError", "ArtifactError", "DeployError", "RequestError", "ServingError"}


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("unknown_format", 422),
        ("artifact_too_large", 413),
        ("model_load_failed", 422),
        ("not_ready_in_time", 504),
        ("illegal_transition", 409),
        ("model_not_found", 404),
        ("invalid_input", 422),
        ("malformed_body", 400),
        ("unsupported_input", 415),
        ("not_acceptable", 406),
        ("payload_too_large", 413),
        ("unauthorized", 401),
        ("forbidden", 403),
        ("rate_limited", 429),
        ("link_expired", 410),
        ("overloaded", 503),
        ("insufficient_memory", 507),
        ("replica_lost", 502),
        ("deadline_exceeded", 504),
        ("model_failed", 500),
    ],
)
def test_a_code_has_its_status(code, status):
    assert all_errors()[code].status == status


@pytest.mark.parametrize("cls", OWN.values())
def test_a_code_is_the_class_name_in_snake_case(cls):
    assert cls is PrismError or cls.code.replace("_", "") == cls.__name__.lower()
    assert re.fullmatch(r"[a-z][a-z_]*", cls.code)


@pytest.mark.parametrize("cls", OWN.values())
def test_the_tree_at_the_top_of_the_module_names_it_and_its_status(cls):
    words = re.findall(r"\w+", errors.__doc__)

    assert cls.__name__ in words
    if issubclass(cls, errors.RequestError) and cls is not errors.RequestError:
        assert re.search(rf"{cls.__name__} {cls.status}\b", errors.__doc__)


def test_no_two_errors_share_a_code():
    classes, waiting = [], [PrismError]
    while waiting:
        cls = waiting.pop()
        classes.append(cls)
        waiting.extend(cls.__subclasses__())

    assert len({cls.code for cls in classes}) == len(classes)


@pytest.mark.parametrize("cls", OWN.values())
def test_every_error_stands_on_a_branch_of_the_tree(cls):
    branches = {base.__name__ for base in cls.__mro__} & BRANCHES

    assert cls is PrismError or len(branches) == 1


words = st.text(max_size=30)


@given(st.sampled_from(sorted(OWN)), words, words, st.dictionaries(words, st.integers() | words, max_size=3))
def test_an_error_survives_wire_and_pickle(code, message, hint, details):
    error = OWN[code](message, hint=hint, details=details)

    for copy in (
        error_from_code(error.code, error.message, error.hint, error.details),
        pickle.loads(pickle.dumps(error)),
    ):
        assert type(copy) is type(error)
        assert (copy.message, copy.hint, copy.details) == (message, hint, details)
        assert str(copy) == message


def test_an_unknown_code_is_a_plain_prism_error():
    error = error_from_code("from_the_future", "Something new.", "Upgrade.")

    assert type(error) is PrismError
    assert (error.message, error.hint) == ("Something new.", "Upgrade.")


def test_details_are_a_copy_and_json():
    given_details = {"errors": [{"row": 1, "column": "tenure"}]}
    error = InvalidInput("Row 1 is wrong.", details=given_details)
    given_details["errors"] = []

    assert json.loads(json.dumps(error.details)) == {"errors": [{"row": 1, "column": "tenure"}]}


def test_a_plugin_can_raise_whatever_a_hook_is_told_to_raise():
    """What is not in the public module is for the core alone."""
    core_only = {
        "AnswerJudged",
        "AnswerNotFound",
        "IllegalTransition",
        "InternalError",
        "InvalidParameter",
        "InvalidRoute",
        "StillLoading",
    }
    core_only |= {"PluginConflict", "PluginLoadError", "UnknownPlugin"}
    core_only |= {
        "ArtifactDamaged",
        "AuditFailed",
        "IdentityUnavailable",
        "KeyNotFound",
        "LinkNotFound",
        "HeadTooLarge",
        "MalformedRequest",
        "NoQuorum",
        "NoRecordings",
        "RequestTooSlow",
        "StorageFailed",
        "StorageFull",
        "TargetTooLong",
        "TooFewMembers",
    }

    assert {cls.__name__ for cls in OWN.values()} - set(plugin.__all__) == core_only


def test_the_public_module_lists_what_it_has():
    assert plugin.__all__ == sorted(
        plugin.__all__, key=lambda name: (not name.isupper(), name[0].islower(), name)
    )
    assert all(hasattr(plugin, name) for name in plugin.__all__)
