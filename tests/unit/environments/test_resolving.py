from pathlib import Path

import attrs
import pytest

from prism_core.environment import Pin, Requirement
from prism_core.environments.interpreters import Interpreter
from prism_core.environments.resolving import OF_PRISM, key_of, lacking, read_pins, without
from prism_core.environments.wheels import Wheel

WHEEL = Wheel("prism-core", "0.1.0", Path("/w/prism_core-0.1.0-py3-none-any.whl"), "abc")
WRITTEN = """\
numpy==1.26.4             # via prism-core, scikit-learn, -r /tmp/x/wanted.txt
pandas[parquet]==2.2.3    # via -r /tmp/x/wanted.txt
prism-core @ file:///w/prism_core-0.1.0-py3-none-any.whl  # via -r /tmp/x/wanted.txt
scikit-learn==1.5.2       # via -r /tmp/x/wanted.txt
scipy==1.17.1             # via scikit-learn
threadpoolctl==3.8.0
"""
PYTHON = Interpreter("/usr/bin/python3", "3.11.7")


def test_every_pin_says_why_it_is_there():
    wanted = [Requirement("numpy", ">=1.20", "it holds arrays"), Requirement("scikit-learn", "==1.5.2")]

    pins = {pin.name: pin for pin in read_pins(WRITTEN, wanted, [WHEEL])}

    assert pins["numpy"] == Pin("numpy", "1.26.4", "it holds arrays; required by prism-core, scikit-learn")
    assert pins["scikit-learn"].reason == "asked for"
    assert pins["scipy"].reason == "required by scikit-learn"
    assert pins["pandas"].version == "2.2.3"
    assert pins["prism-core"] == Pin("prism-core", "0.1.0", OF_PRISM, str(WHEEL.path))
    assert len(pins) == 6


PINS = (Pin("a", "1"), Pin("b", "2"), Pin("prism-core", "1", wheel="/w/1.whl"))


@pytest.mark.parametrize(
    ("pins", "python", "same"),
    [
        (tuple(reversed(PINS)), PYTHON, True),
        ((attrs.evolve(PINS[0], reason="another"), *PINS[1:]), PYTHON, True),
        ((*PINS[:2], Pin("prism-core", "2", wheel="/w/2.whl")), PYTHON, True),  # the server was updated
        (PINS, Interpreter("/elsewhere", "3.11.9"), True),
        (PINS, Interpreter("/usr/bin/python3", "3.12.1"), False),
        ((attrs.evolve(PINS[0], version="1.1"), *PINS[1:]), PYTHON, False),
        (PINS[:2], PYTHON, False),
        ((*PINS, Pin("c", "3")), PYTHON, False),
    ],
)
def test_a_key_is_what_decides(pins, python, same):
    assert (key_of(pins, python) == key_of(PINS, PYTHON)) is same


def test_what_prism_needs_and_an_environment_has_not_is_named():
    pins = [Pin("attrs", "26.1"), Pin("msgspec", "0.18"), Pin("numpy", "2.1"), Pin("orjson", "3.10")]

    missing = lacking(["prism-core"], pins, "3.11.7")

    assert sorted(line.partition(">")[0] for line in missing) == ["msgspec", "pluggy"]


WISHED = [Requirement("a", "==1"), Requirement("b", "==2", strict=False), Requirement("b-c", strict=False)]


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("Because a==1 depends on b<2 and you require b==2, ...", ["a", "b-c"]),
        ("Because b-c was not found in the cache ...", ["a", "b"]),
        ("Because a==1 has no wheels ...", ["a"]),
        ("error sending request", ["a"]),
    ],
)
def test_what_is_only_wished_for_and_named_is_left_out_first(said, left):
    assert [one.name for one in without(WISHED, said)] == left


def test_what_is_wanted_in_any_case_stays():
    assert without(WISHED[:1], "Because a==1 has no wheels") == WISHED[:1]
