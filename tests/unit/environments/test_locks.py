import pytest

from prism_core.environments.locks import Lock, read_lock
from prism_core.errors import ConfigError


def test_what_a_models_answers_hang_on_is_held():
    lock = read_lock(
        ["Scikit_Learn==1.5.2", "numpy==2.1.0", "msgspec==0.18", "uvloop==0.1", "tiny==3"], ["tiny"]
    )

    assert lock == Lock(
        held={"scikit-learn": "1.5.2", "numpy": "2.1.0"}, liked={"msgspec": "0.18", "uvloop": "0.1"}
    )


@pytest.mark.parametrize("line", ["a", "a>=1", "a==1.*", "a==1,!=2", "a @ https://b/c.whl", "a b", "a===1"])
def test_a_line_that_is_no_pin_is_refused(line):
    with pytest.raises(ConfigError):
        read_lock([line])


@pytest.mark.parametrize(
    ("there", "broken"),
    [
        ({"a": "1", "b": "2"}, []),
        ({"a": "1"}, []),  # nothing is installed because it is locked
        ({"a": "1.1"}, ["a==1 is locked; there it is 1.1"]),
    ],
)
def test_a_lock_is_broken_by_another_version(there, broken):
    assert Lock({"a": "1", "b": "2"}).broken(there) == broken
