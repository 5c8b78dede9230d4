import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.sizes import format_bytes, parse_bytes


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("512", 512),
        ("1B", 1),
        ("1KB", 1024),
        ("1.5 mb", 1572864),
        ("2GiB", 2 << 30),
        ("1T", 1 << 40),
    ],
)
def test_a_size_is_read_with_its_unit(text, size):
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "MB", "-1MB", "1 PB", "1,5MB", "x", "1MB2"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="expected a size"):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KB"), (35 << 20, "35.0 MB"), (500 << 40, "500 TB")],
)
def test_a_size_is_shown_for_people(size, text):
    assert format_bytes(size) == text


@given(st.integers(0, 1 << 50))
def test_what_is_shown_can_be_read_again(size):
    assert abs(parse_bytes(format_bytes(size)) - size) <= max(1, size * 0.05)
