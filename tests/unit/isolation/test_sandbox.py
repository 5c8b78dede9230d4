"""Which level is taken, and what is said of it."""

import pytest

from prism_core.errors import LaunchFailed
from prism_core.isolation.sandbox import Abilities, Level, chosen, warning, with_threads

ALL = Abilities("", "")
NO_NAMESPACES = Abilities("bubblewrap is not installed", "")
NOTHING = Abilities("bubblewrap is not installed", "the kernel is too old")


@pytest.mark.parametrize(
    ("wish", "abilities", "level"),
    [
        ("best", ALL, Level.NAMESPACES),
        ("best", NO_NAMESPACES, Level.LANDLOCK),
        ("best", NOTHING, Level.LIMITS),
        ("required", ALL, Level.NAMESPACES),
        ("required", NO_NAMESPACES, Level.LANDLOCK),
        ("off", ALL, Level.OFF),
    ],
)
def test_the_strongest_level_that_works_is_taken(wish, abilities, level):
    assert chosen(wish, abilities) is level


def test_what_is_required_and_cannot_be_had_is_refused_with_both_reasons():
    with pytest.raises(LaunchFailed, match="bubblewrap is not installed; the kernel is too old") as failed:
        chosen("required", NOTHING)

    assert "prism doctor" in failed.value.hint


@pytest.mark.parametrize("level", Level)
def test_an_interpreter_with_threads_is_bounded_and_no_more(level):
    assert with_threads("best", level) is min(level, Level.LIMITS, key=list(Level).index)


def test_an_interpreter_with_threads_is_refused_where_a_sandbox_is_required():
    with pytest.raises(LaunchFailed, match="starts threads"):
        with_threads("required", Level.NAMESPACES)


def test_what_does_not_protect_is_said_aloud():
    assert {level for level in Level if warning(level)} == {Level.OFF, Level.LIMITS}
