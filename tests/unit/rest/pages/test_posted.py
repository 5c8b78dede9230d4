"""The bodies that browsers make of forms."""

import pytest

from prism_core.errors import MalformedBody, UnsupportedInput
from prism_core.rest.pages.posted import MAX_PARTS, posted

FORM, PARTS = "application/x-www-form-urlencoded", "multipart/form-data; boundary=xx"


def parts(*each):
    return b"".join(b"--xx\r\n" + one + b"\r\n" for one in each) + b"--xx--\r\n"


def test_texts():
    assert posted(FORM, b"c0=a+b%26&c1=&c2=%C3%A9").texts == {"c0": "a b&", "c1": "", "c2": "é"}


def test_a_file_with_texts():
    way = b'Content-Disposition: form-data; name="way"\r\n\r\npicture'
    head = (
        b'Content-Disposition: form-data; name="picture"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
    )
    file = head + b"\x89\r\n--x"

    found = posted(PARTS, parts(way, file))

    assert (found.texts, found.file, found.media_type) == ({"way": "picture"}, b"\x89\r\n--x", "image/png")


def test_no_file_was_chosen():
    file = b'Content-Disposition: form-data; name="picture"; filename=""\r\nContent-Type: image/png\r\n\r\n'

    assert posted(PARTS, parts(file)).file is None


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (FORM, b"c0=%FF"),
        (FORM, b"\xff"),
        (FORM, b"&".join(b"c%d=1" % i for i in range(MAX_PARTS + 1))),
        (PARTS, b"nothing of the kind"),
        (PARTS, parts(b'Content-Disposition: form-data; name="way"\r\n\r\n\xff')),
        (PARTS, parts(b'Content-Disposition: form-data; name="a"\r\n\r\n')[:-8]),
        ("multipart/form-data", b""),
    ],
)
def test_what_no_browser_sends_is_malformed(content_type, body):
    with pytest.raises(MalformedBody):
        posted(content_type, body)


@pytest.mark.parametrize("content_type", ["", "application/json", "text/plain"])
def test_programs_are_told_where_to_ask(content_type):
    with pytest.raises(UnsupportedInput) as caught:
        posted(content_type, b"{}")

    assert "predict" in caught.value.hint
