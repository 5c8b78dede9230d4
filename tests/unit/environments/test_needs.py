"""The policy between an artifact's word, its owner's, and what is installed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement as Parsed
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from prism_core.environment import Requirement
from prism_core.environments.needs import OWNER, Needs, assumed_python, fits, needed, satisfied
from prism_core.errors import ConfigError

SKLEARN = Requirement("scikit-learn", "==1.5.2", "an estimator says so")
NUMPY = Requirement("numpy", "<2", "it says numpy.core", strict=False)


def texts(needs: Needs) -> list[str]:
    return [one.pep508 for one in needs.requirements]


def test_without_a_word_of_the_owner_the_artifact_is_believed():
    needs = needed([SKLEARN, NUMPY])

    assert needs == Needs((NUMPY, SKLEARN))


def test_the_owner_is_believed_before_the_artifact_name_by_name():
    needs = needed([SKLEARN, NUMPY], ["Scikit_Learn>=1.6", "fancy"])

    assert texts(needs) == ["fancy", "numpy<2", "scikit-learn>=1.6"]
    assert needs.requirements[2] == Requirement("scikit-learn", ">=1.6", OWNER)


def test_who_asks_for_another_version_than_the_model_was_made_with_is_told():
    assert needed([SKLEARN], ["scikit-learn==1.6.1"]).notes == (
        "The model was made with scikit-learn 1.5.2; scikit-learn==1.6.1 is named by its owner: "
        "answers may differ, or it may not load.",
    )
    assert needed([SKLEARN], ["scikit-learn>=1.5"]).notes == ()


def test_another_distribution_of_the_same_modules_takes_the_place_of_the_first():
    said = [Requirement("xgboost", "==3.2.0", "its boosters say so"), SKLEARN]

    assert texts(needed(said, ["xgboost-cpu"])) == ["scikit-learn==1.5.2", "xgboost-cpu"]
    assert needed(said, ["xgboost-cpu==3.1.0"]).notes[0].startswith("The model was made with xgboost 3.2.0")


@pytest.mark.parametrize(
    ("owners", "expected"),
    [
        (["numpy>=1.20", "numpy<2"], ["numpy<2,>=1.20"]),
        (["pandas[parquet]==2.2.3"], ["pandas[parquet]==2.2.3"]),
        (["pandas[Parquet]", "pandas[excel]>=2"], ["pandas[excel,parquet]>=2"]),
        (["torch==2.1.0+cu118"], ["torch==2.1.0+cu118"]),
        (["x; python_version < '3.12'", "y; python_version >= '3.12'"], ["y"]),
        (["x; python_full_version == '3.12.0'"], ["x"]),
        (["x; extra == 'dev'"], []),
    ],
)
def test_the_owners_lines_are_read_as_pep_508_says(owners, expected):
    assert texts(needed([], owners, "3.12")) == expected


@pytest.mark.parametrize(
    "line",
    [
        "x @ https://example.org/x-1.0-py3-none-any.whl",
        "x @ file:///tmp/x.whl",
        "./x.whl",
        "git+https://example.org/x",
        "--index-url=https://example.org",
        "-e .",
        "x==1.0\ny",
        "x===anything",
        "x==1.5.2; os_name",
        "",
    ],
)
def test_what_names_no_distribution_and_versions_is_refused(line):
    with pytest.raises(ConfigError):
        needed([], [line])


def test_lines_that_exclude_each_other_are_refused():
    with pytest.raises(ConfigError, match=r"numpy.*no version"):
        needed([], ["numpy<2", "numpy>=2.1"])


def test_of_two_words_of_an_artifact_that_exclude_each_other_the_strict_one_is_taken():
    hint = Requirement("numpy", ">=2", "a hint", strict=False)
    strict = Requirement("numpy", "==1.26.4", "it says so")

    assert needed([hint, strict]) == needed([strict, hint])
    assert needed([hint, strict]).requirements == (strict,)
    assert needed([hint, strict]).notes == (
        "The artifact asks for numpy>=2 and for numpy==1.26.4; the latter is taken.",
    )


def test_words_that_can_be_true_together_are_joined():
    again = Requirement("scikit-learn", ">=1.2", "twice")

    assert needed([again, SKLEARN]).requirements == (
        Requirement("scikit-learn", "==1.5.2,>=1.2", "twice; an estimator says so"),
    )


# --- strangers ---------------------------------------------------------------------------------

EVIL = [
    "1.5.2; os_name",
    "1.5.2 --index-url=http://x",
    "file:///etc",
    "1.5.2\n-r /etc/passwd",
    "٣.١",
    "1" * 9999,
]


@pytest.mark.parametrize("version", EVIL)
def test_what_is_no_version_never_leaves_the_policy(version):
    needs = needed([Requirement("scikit-learn", f"=={version}"), NUMPY])

    assert needs.requirements == (NUMPY,)
    assert "scikit-learn" in needs.notes[0]
    assert len(needs.notes[0]) < 250


@given(st.text(), st.text())
def test_whatever_an_artifact_says_becomes_a_plain_requirement_or_nothing(name, specifier):
    for text in texts(needed([Requirement(name, specifier)])):
        parsed = Parsed(text)

        assert parsed.url is parsed.marker is None
        assert len(text.splitlines()) == 1
        assert text.isascii()


NAMES = st.sampled_from(["numpy", "pandas", "scipy"])
SPECIFIERS = st.sampled_from(["", "==1.0", ">=1", "<2", ">=2", "==3.1.*", "!=1.0"])
WORDS = st.lists(st.builds(Requirement, NAMES, SPECIFIERS, st.just("why"), st.booleans()))


@given(WORDS, st.lists(st.tuples(NAMES, SPECIFIERS), unique_by=lambda word: word[0]))
def test_every_name_is_there_once_and_the_owners_as_they_said_it(said, owned):
    needs = needed(said, [name + specifier for name, specifier in owned])

    found = {one.name: one for one in needs.requirements}
    assert len(found) == len(needs.requirements)
    assert found.keys() == {one.name for one in said} | {name for name, _ in owned}
    assert all(found[name].specifier == specifier for name, specifier in owned)
    assert not any(SpecifierSet(one.specifier).is_unsatisfiable() for one in found.values())


@given(WORDS, st.dictionaries(NAMES, st.sampled_from(["1.0", "1.5", "2.0", "3.1.4"])))
def test_what_is_satisfied_holds_for_every_strict_word(said, installed):
    needs = needed(said)

    missing = [
        one
        for one in needs.requirements
        if one.strict
        and not (one.name in installed and SpecifierSet(one.specifier).contains(installed[one.name]))
    ]
    assert len(satisfied(needs, installed, "3.11.7")) == len(missing)


# --- what is installed -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("needs", "reasons"),
    [
        (needed([SKLEARN]), ["scikit-learn==1.5.2 is wanted; there it is 1.9.1"]),
        (needed([NUMPY]), []),
        (needed([], ["numpy<2"]), ["numpy<2 is wanted; there it is 2.4.6"]),
        (needed([Requirement("xgboost")]), ["xgboost is wanted, which is not installed there"]),
        (needed([], ["pandas>=3"]), []),
        (needed([], ["onnxruntime>=1.20"]), []),
        (needed([], ["pre>=1.0a1"]), []),
        (
            needed([], ["pandas[excel]"]),
            ["pandas[excel] is wanted, and what its extras bring is not known of an installed one"],
        ),
        (needed([], [], "3.11"), []),
        (needed([], [], ">=3.11,<3.13"), []),
        (needed([], [], "3.12"), ["Python 3.12 is wanted; there it is 3.11.7"]),
        (needed([], [], "3.11.8"), ["Python 3.11.8 is wanted; there it is 3.11.7"]),
    ],
)
def test_an_environment_is_enough_if_every_strict_word_holds(needs, reasons):
    installed = {"scikit-learn": "1.9.1", "numpy": "2.4.6", "pandas": "3.1.1", "pre": "1.0rc1"}
    installed["onnxruntime-gpu"] = "1.20.1"

    assert list(satisfied(needs, installed, "3.11.7")) == reasons


def test_an_installed_version_that_is_none_satisfies_nothing_but_any():
    assert satisfied(needed([Requirement("x")]), {"x": "unknown"}, "3.11.7") == ()
    assert satisfied(needed([Requirement("x", ">=1")]), {"x": "unknown"}, "3.11.7")


# --- Python ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "python", ["3", "2.7", "3.10", "3.10.4", "4.0", "<3.11", "python3.12", "3.12; x", "x" * 999]
)
def test_a_python_that_cannot_be_had_is_refused(python):
    with pytest.raises(ConfigError):
        needed([], [], python)


@pytest.mark.parametrize("python", ["", "3.11", "3.13.2", ">=3.9", "~=3.12.0", "==3.12.*", ">3.11.7,<3.12"])
def test_a_python_is_assumed_that_fits(python):
    assumed = assumed_python(needed([], [], python).python)

    assert assumed is not None
    assert fits(python, assumed)


def test_names_are_as_the_index_writes_them():
    needs = needed([Requirement("Scikit.Learn")], ["My_Package"])

    assert all(one.name == canonicalize_name(one.name) for one in needs.requirements)
