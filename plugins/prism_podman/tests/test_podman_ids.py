"""Which users containers have: of their own for each model, the same for each start."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_podman.ids import IMAGE_OWNER, ROOTS_FIRST, available, blocks, choose, ids

USUAL = 65537  # the user's own number, and the 65536 that /etc/subuid gives


def outside(found):
    """All numbers that a container's users have outside, but that of the owner of images."""
    return {
        entry["host_id"] + offset
        for entry in found.mapping
        for offset in range(entry["size"])
        if (entry["container_id"], entry["size"]) != (IMAGE_OWNER, 1)
    }


def test_two_models_share_no_user():
    assert not outside(ids(0, True, USUAL)) & outside(ids(1, True, USUAL))
    assert not outside(ids(0, False, 0)) & outside(ids(1, False, 0))


@pytest.mark.parametrize("block", [0, 1, blocks(True, USUAL) - 1])
def test_without_root_all_are_the_users_own_numbers_and_none_is_the_user(block):
    numbers = outside(ids(block, True, USUAL))

    assert min(numbers) > 0
    assert max(numbers) < IMAGE_OWNER


def test_files_of_an_image_have_one_owner_inside_and_outside():
    """Then nothing of it is copied for a namespace."""
    for block in (0, 7):
        assert {"container_id": IMAGE_OWNER, "host_id": IMAGE_OWNER, "size": 1} in ids(
            block, True, USUAL
        ).mapping


def test_as_root_a_block_is_one_range_beyond_all_others():
    (last,) = ids(blocks(False, 0) - 1, False, 0).mapping

    assert last["container_id"] == 0
    assert last["size"] > IMAGE_OWNER
    assert ROOTS_FIRST <= last["host_id"] < last["host_id"] + last["size"] < 1 << 32


def test_with_few_numbers_models_have_users_but_no_namespace():
    found = [ids(block, True, 1000) for block in range(blocks(True, 1000))]

    assert {"userns_mode", "idmappings"}.isdisjoint(found[0].arguments())
    assert len({one.user for one in found}) == len(found) == 999
    assert "0:0" not in {one.user for one in found}


def test_a_namespace_is_asked_for_in_the_form_that_has_an_effect():
    found = ids(3, True, USUAL).arguments()

    assert found["userns_mode"] == "private"
    assert found["idmappings"]["UIDMap"] == found["idmappings"]["GIDMap"] != []


@pytest.mark.parametrize(
    ("mapping", "total"),
    [(None, 0), ([], 0), ([{"container_id": 0, "host_id": 1000, "size": 1}, {"size": 65536}], 65537)],
)
def test_how_many_numbers_there_are(mapping, total):
    assert available(mapping) == total


@given(st.text(max_size=20), st.sets(st.integers(0, 9)))
def test_a_free_block_is_taken_while_there_is_one(model, taken):
    block = choose(model, taken, 10)

    assert 0 <= block < 10
    assert block not in taken or len(taken) == 10


@given(st.text(max_size=20))
def test_a_model_has_the_same_block_each_time(model):
    assert choose(model, set(), 255) == choose(model, {choose(model, set(), 255) + 1}, 255)
