import pytest

from prism_core.environment import Requirement
from prism_core.environments.said import (
    LONGEST_MESSAGE,
    NO_NETWORK,
    OTHERWISE,
    WHEELS_ONLY,
    explanation,
    facts_of,
    failure,
    redacted,
    unreachable,
)
from prism_core.errors import EnvironmentFailed, StorageFull

CONFLICT = """\
Using Python 3.11.7 environment at: v1
warning: something that does not matter
error: No solution found when resolving dependencies
  cause: Because scikit-learn==1.3.2 depends on numpy<2.0 and you require scikit-learn==1.3.2,
         we can conclude that you require numpy<2.0.
         And because you require numpy==2.1, we can conclude that your requirements are unsatisfiable.
"""
DRAWN = """\
  × No solution found when resolving dependencies:
  ╰─▶ Because there is no version of scikit-learn==99 and you require
      scikit-learn==99, we can conclude that your requirements are unsatisfiable.
"""
NO_WHEEL = """\
error: No solution found when resolving dependencies
  cause: Because scikit-learn==0.20.0 has no usable wheels and you require scikit-learn==0.20.0 ...

hint: Wheels are required for `scikit-learn` because building from source is disabled
"""
UNREACHABLE = """\
error: Failed to fetch: https://user:hunter2@index.example/simple/scikit-learn/
  cause: error sending request for url (https://user:hunter2@index.example/simple/scikit-learn/)
  cause: client error (Connect)
  cause: tcp connect error
"""
OFFLINE = """\
error: No solution found when resolving dependencies
  cause: Because polars was not found in the cache and you require polars==1.1.0, we can conclude ...

hint: Packages were unavailable because the network was disabled.
"""
FULL = (
    "error: Failed to install: a.whl\n  cause: failed to copy file: No space left on device (os error 28)\n"
)


@pytest.mark.parametrize(
    ("line", "facts"),
    [
        ("Resolved 17 packages in 94ms", {"phase": "resolved", "packages": 17}),
        ("Downloading scipy (33.7MiB)", {"phase": "downloading", "package": "scipy", "size": "33.7MiB"}),
        (" Downloaded scipy", {"phase": "downloaded", "package": "scipy"}),
        ("Prepared 1 package in 1.22s", {"phase": "installing", "packages": 1}),
        ("Installed 9 packages in 82ms", {"phase": "compiling", "packages": 9}),
        (" + numpy==1.26.4", {}),
        ("Using Python 3.11.7 environment at: v1", {}),
    ],
)
def test_lines_become_facts(line, facts):
    assert facts_of(line) == facts


def test_a_conflict_is_told_with_its_packages():
    wanted = (Requirement("scikit-learn", "==1.3.2"), Requirement("numpy", "==2.1"), Requirement("joblib"))

    error = failure(CONFLICT, "It cannot be", wanted)

    assert isinstance(error, EnvironmentFailed)
    assert error.message.startswith("It cannot be: Because scikit-learn==1.3.2 depends on numpy<2.0")
    assert error.message.endswith("your requirements are unsatisfiable.")
    assert "warning" not in error.message
    assert error.details["packages"] == ["scikit-learn", "numpy"]
    assert error.hint == OTHERWISE


def test_what_older_releases_draw_reads_the_same():
    assert explanation(DRAWN).startswith("Because there is no version of scikit-learn==99 and you require")


@pytest.mark.parametrize(
    ("said", "hint"), [(NO_WHEEL, WHEELS_ONLY), (UNREACHABLE, NO_NETWORK), (OFFLINE, NO_NETWORK)]
)
def test_each_failure_has_its_next_step(said, hint):
    assert failure(said, "It cannot be").hint == hint


def test_no_address_and_no_password_gets_out():
    error = failure(UNREACHABLE, "It cannot be")

    told = f"{error.message} {error.details}"
    assert "hunter2" not in told
    assert "index.example" not in told
    assert "<address>" in told


@pytest.mark.parametrize(
    "text",
    [
        "https://a:b@c/d",
        "see (http://c.example/x?token=1)",
        "`https://c.example/simple`",
        "socks5h://u:p@c.example:1",
    ],
)
def test_addresses_of_any_kind_are_left_out(text):
    assert "c.example" not in redacted(text)
    assert "a:b" not in redacted(text)


def test_a_wheel_of_ours_is_told_by_its_name():
    assert (
        redacted("from file:///data/x/prism_core-1-py3-none-any.whl)")
        == "from prism_core-1-py3-none-any.whl)"
    )


def test_a_long_explanation_is_cut_and_kept_in_the_details():
    said = "error: " + "because of a thing " * 100

    error = failure(said, "It cannot be")

    assert len(error.message) < LONGEST_MESSAGE + 100
    assert "details.uv" in error.message
    assert len(error.details["uv"]) > LONGEST_MESSAGE


def test_a_full_disk_is_no_conflict():
    assert isinstance(failure(FULL, "It cannot be"), StorageFull)


@pytest.mark.parametrize(("said", "expected"), [(UNREACHABLE, True), (CONFLICT, False), (OFFLINE, False)])
def test_only_a_connection_that_fails_asks_for_the_cache(said, expected):
    assert unreachable(said) is expected
