import pytest

from prism_core.plugin import MalformedBody
from prism_oip.parameters import KNOWN, REFUSED, check, of_model


def test_a_model_sees_no_parameter_of_the_protocol():
    sent = dict.fromkeys([*KNOWN, "triton_final_response"], 1)

    assert of_model({**sent, "threshold": 0.3}) == {"threshold": 0.3}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_an_extension_that_is_not_there_is_named(name):
    with pytest.raises(MalformedBody, match=name):
        check({name: 1}, "Output 'y'")
