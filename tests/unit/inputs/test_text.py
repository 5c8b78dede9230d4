import pytest

from prism_core.plugin import InvalidInput, MalformedBody, Signature, TensorSpec, UnsupportedInput

OUTPUTS = (TensorSpec("predictions", "FP64", (-1,)),)
TEXT = Signature((TensorSpec("text", "BYTES", (-1,)),), OUTPUTS)
COLUMN = Signature((TensorSpec("review", "BYTES", (-1, 1)),), OUTPUTS, columnar=True)
NUMBERS = Signature((TensorSpec("x", "FP32", (-1, 3)),), OUTPUTS)
TWO = Signature((TensorSpec("a", "BYTES", (-1,)), TensorSpec("b", "BYTES", (-1,))), OUTPUTS, columnar=True)


@pytest.mark.parametrize(
    ("body", "parameters", "rows"),
    [
        (b"hello\nworld\n", {}, ["hello\nworld\n"]),
        (b"", {}, [""]),
        (b"hello\r\nworld\n", {"lines": "true"}, ["hello", "world"]),
        (b"a\x0cb\n\nc", {"lines": "1"}, ["a\x0cb", "", "c"]),
        ("né".encode(), {"charset": "UTF-8"}, ["né"]),
        (b"n\xe9", {"charset": "iso-8859-1"}, ["né"]),
    ],
)
def test_one_string_or_one_a_line(read, body, parameters, rows):
    assert read(body, TEXT, "text/plain", **parameters)["text"].tolist() == rows


def test_a_lone_column_of_a_table(read):
    assert read(b"fine", COLUMN, "text/plain")["review"].tolist() == [["fine"]]


@pytest.mark.parametrize(
    ("body", "model", "parameters", "error"),
    [
        (b"\xff", TEXT, {}, MalformedBody),
        (b"x", TEXT, {"charset": "zip"}, UnsupportedInput),
        (b"x", TEXT, {"lines": "maybe"}, InvalidInput),
        (b"", TEXT, {"lines": "true"}, InvalidInput),
        (b"1 2 3", NUMBERS, {}, UnsupportedInput),
        (b"x", TWO, {}, InvalidInput),
    ],
)
def test_what_is_no_text_for_the_model_is_refused(read, body, model, parameters, error):
    with pytest.raises(error):
        read(body, model, "text/plain", **parameters)
