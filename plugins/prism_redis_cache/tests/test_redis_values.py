"""What is read is what was stored under that key, or nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from prism_redis_cache.values import seal, unseal

BYTES = st.binary(max_size=60)


@given(BYTES, BYTES)
def test_a_value_comes_back(key, value):
    assert unseal(key, seal(key, value)) == value


@given(BYTES, BYTES, st.data())
def test_one_changed_bit_is_noticed(key, value, data):
    stored = bytearray(seal(key, value))
    place = data.draw(st.integers(0, len(stored) * 8 - 1))
    stored[place // 8] ^= 1 << place % 8

    assert unseal(key, bytes(stored)) is None


@given(BYTES, BYTES, st.data())
def test_a_cut_or_longer_value_is_noticed(key, value, data):
    stored = seal(key, value)
    cut = data.draw(st.integers(0, len(stored) - 1))

    assert unseal(key, stored[:cut]) is None
    assert unseal(key, stored + b"\0") is None


@given(BYTES, BYTES, BYTES)
def test_a_value_under_another_key_is_noticed(key, other, value):
    assert key == other or unseal(other, seal(key, value)) is None


@given(BYTES, BYTES)
def test_foreign_bytes_are_noticed(key, value):
    assert unseal(key, value) is None
