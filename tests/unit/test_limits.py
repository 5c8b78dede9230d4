"""How much a stranger's bytes may make us do."""

import pytest

from prism_core.errors import PayloadTooLarge
from prism_core.limits import BODY_RATIO_FROM_BYTES, Limits

MB = 1 << 20


@pytest.mark.parametrize(
    ("packed", "unpacked"),
    [(10, 100), (100, BODY_RATIO_FROM_BYTES), (MB, 60 * MB), (64 * MB, 64 * MB)],
)
def test_a_body_may_unpack_to_as_much_as_it_might_have_had(packed, unpacked):
    Limits().check_body(packed, unpacked)


@pytest.mark.parametrize(
    ("packed", "unpacked", "limits"),
    [
        (100, BODY_RATIO_FROM_BYTES + 1, Limits()),
        (MB, 64 * MB + 1, Limits()),
        (MB, 11 * MB, Limits(max_ratio=10)),
        (10, 101, Limits(max_body=100)),
    ],
)
def test_a_body_that_unpacks_to_more_is_refused(packed, unpacked, limits):
    with pytest.raises(PayloadTooLarge):
        limits.check_body(packed, unpacked)
