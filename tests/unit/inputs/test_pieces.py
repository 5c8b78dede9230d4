"""What is read in pieces is what is read whole, or is left to be read whole: for any body and any cuts."""

import json

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from prism_core.fitting.tensors import pack
from prism_core.inputs import csv, csv_parts, json_in, json_out, json_out_parts, json_parts, prism_normalizers
from prism_core.plugin import Answer, Batch, MalformedBody, PrismError, Request, Signature, TensorSpec

OUTPUTS = (TensorSpec("y", "FP64", (-1,)),)
NAMED = Signature((TensorSpec("x", "FP64", (-1, 2), columns=("a", "b")),), OUTPUTS)
MIXED = Signature((TensorSpec("a", "INT64", (-1,)), TensorSpec("b", "BYTES", (-1,))), OUTPUTS, columnar=True)
SIGNATURES = [
    NAMED,
    MIXED,
    Signature((TensorSpec("x", "FP32", (-1, 2)),), OUTPUTS),
    Signature((TensorSpec("x", "FP32", (-1, -1), nullable=True),), OUTPUTS),
    Signature((TensorSpec("x", "BYTES", (-1, 2), nullable=True),), OUTPUTS),
    Signature((TensorSpec("x", "BYTES", (-1, 1)),), OUTPUTS),
    Signature((TensorSpec("x", "BYTES", (-1,)),), OUTPUTS),
    Signature((TensorSpec("x", "FP16", (-1, 2, 1)),), OUTPUTS),
    Signature((TensorSpec("x", "FP64", (-1, 2)),), OUTPUTS, batch_axis=False),
    Signature((TensorSpec("x", "FP64", (2, 2)),), OUTPUTS, batch_axis=False),
    Signature((TensorSpec("a", "BYTES", (-1, 1), nullable=True),), OUTPUTS, columnar=True),
    Signature((TensorSpec("a", "FP64", (-1,)), TensorSpec("b", "INT8", (-1, 1))), OUTPUTS, columnar=True),
    Signature((TensorSpec("a", "BOOL", (-1,)), TensorSpec("b", "FP32", (-1, 2))), OUTPUTS),
]
NOTHING = Request({}, {})


def done(steps):
    """Return how often the steps yielded, and what they return."""
    count = 0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return count, end.value
        count += 1


def assert_as_whole(same, in_pieces, whole):
    """Assert that a body read in pieces is what it is whole; what is refused must be left to that."""
    try:
        expected = whole()
    except PrismError:
        assert done(in_pieces)[1] is None
        return
    _, found = done(in_pieces)
    if found is not None:
        assert same(dict(found.tensors), dict(expected.tensors))
        assert {name: a.shape for name, a in found.tensors.items()} == {
            name: a.shape for name, a in expected.tensors.items()
        }
        assert (found.outputs, found.parameters) == (expected.outputs, expected.parameters)


# --- JSON ----------------------------------------------------------------------------------------

tricky = st.lists(
    st.sampled_from(['"', "\\", "[", "]", "{", "}", ",", "],[", "},{", ":", " ", "é", "\u2028"])
)
text = tricky.map("".join) | st.text(max_size=3)
numbers = st.integers(-3, 3) | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
scalars = numbers | text | st.none() | st.booleans()
rows = st.one_of(
    st.tuples(numbers, numbers).map(list),
    st.tuples(text, text).map(list),
    st.tuples(st.integers(-9, 9), text).map(list),
    st.fixed_dictionaries({"a": numbers, "b": numbers}),
    st.fixed_dictionaries({"a": st.integers(-9, 9), "b": text}),
    st.lists(scalars, max_size=3),
    st.lists(st.lists(scalars, max_size=2), max_size=2),
    scalars,
)
tables = st.one_of(
    *(st.lists(row, max_size=8) for row in rows.original_strategies), st.lists(rows, max_size=6)
)
beside = st.dictionaries(
    st.sampled_from(["outputs", "parameters", "input", "instances", "id", "else"]),
    st.lists(st.sampled_from(["y", '"],"'])) | st.dictionaries(text, scalars, max_size=2) | scalars | tables,
    max_size=2,
)


@st.composite
def bodies(draw):
    """Return a body with a table, written in some way or other, and sometimes damaged."""
    table = draw(tables)
    key = draw(st.sampled_from(["input", "inputs", "instances", None]))
    document = table if key is None else {key: table, **draw(beside)}
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t:\r")]))
    ascii_only = draw(st.booleans())
    body = bytearray(
        json.dumps(document, separators=separators, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    )
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        at = draw(st.integers(0, len(body)))
        new = draw(st.sampled_from([b"", b"[", b"]", b"],[", b'"', b"\\", b",", b"}", b"\xff", b" "]))
        body[at : at + draw(st.integers(0, 2))] = new
    return bytes(body)


@settings(deadline=None, max_examples=400)
@given(bodies(), st.sampled_from(SIGNATURES), st.integers(0, 40))
@example(b'{"input":[[1,2],[3,4]],"input":[[5,6]]}', NAMED, 0)
@example(b'{"input":[[1,2],[3,4]],"instances":[[5,6]]}', NAMED, 0)
@example(b'{"input":[[1,2],[3,4]]],"outputs":["y"]}', NAMED, 0)
@example(b'{"input":[[1,2],[3,4],]}', NAMED, 0)
@example(b'{"input":[[1,2],[3,4]]}}', NAMED, 0)
@example(b'{"input":[{"a":1,"b":2},[3,4]]}', NAMED, 0)
@example(b'{"input":[[1,"a],[2"],[3,"b"]]}', MIXED, 0)
@example(b'{"input":[[1,2],,[3,4]]}', NAMED, 0)
@example(b"[[1,2],[3,4]]}", NAMED, 0)
def test_json_in_pieces_is_what_it_is_whole(same, body, signature, piece_bytes):
    view = memoryview(body)
    assert_as_whole(
        same,
        json_parts.normalize(view, signature, NOTHING, piece_bytes),
        lambda: json_in.normalize(view, signature, NOTHING),
    )


tokens = st.lists(
    st.sampled_from(
        ["[", "]", "{", "}", ",", "],[", "},{", '"', "\\", "1", "2", '"a":1', '"b":2', " ", "[1,2]"]
    ),
    max_size=14,
)


@settings(deadline=None, max_examples=400)
@given(
    st.sampled_from(['{"input":[[1,2],', '{"input":[', "[[1,2],", '{"input":[{"a":1,"b":2},']),
    tokens.map("".join),
    st.sampled_from(["]}", "]", ',[3,4]],"outputs":["y"]}', ",[3,4]]}"]),
    st.sampled_from(SIGNATURES),
    st.integers(0, 8),
)
def test_no_cut_in_a_wrong_place_goes_unnoticed(same, begin, middle, end, signature, piece_bytes):
    test = test_json_in_pieces_is_what_it_is_whole.hypothesis.inner_test
    test(same, (begin + middle + end).encode(), signature, piece_bytes)


@pytest.mark.parametrize(
    ("signature", "row"),
    [
        (NAMED, [0.5, 2]),
        (NAMED, {"a": 0.5, "b": 2}),
        (MIXED, [1, "some text"]),
        (MIXED, {"a": 1, "b": "é"}),
        (SIGNATURES[4], ["x", None]),
        (SIGNATURES[7], [[1.5], [2.5]]),
    ],
)
@pytest.mark.parametrize(
    "around",
    [
        '{"input": %s}',
        ' { "instances" : %s }\n',
        '{"inputs": %s}',
        "%s",
        '{"input": %s, "outputs": ["y"], "parameters": {"k": [1]}}',
    ],
)
def test_a_plain_table_is_read_in_pieces(signature, row, around):
    body = memoryview((around % json.dumps([row] * 2000)).encode())

    count, batch = done(json_parts.normalize(body, signature, NOTHING, piece_bytes=1000))

    assert count > 10
    assert batch.rows == 2000
    assert batch.outputs == (("y",) if "outputs" in around else ())


def test_a_row_without_an_end_is_not_searched_to_the_end_of_the_body():
    body = memoryview(b'{"input": [' + b"[1, 2]  " * 1000 + b"]}")

    assert done(json_parts.normalize(body, NAMED, NOTHING, piece_bytes=100)) == (0, None)


# --- CSV -----------------------------------------------------------------------------------------

cells = st.sampled_from(
    ["1", "-2.5", "1e3", " 3", "4 ", "01", "+1", ".5", "", "nan", "x", '"1"', '"1,2"', "1e999"]
)
lines = st.lists(st.lists(cells, min_size=1, max_size=3), max_size=6)
plain_lines = st.lists(st.lists(numbers.map(repr), min_size=2, max_size=2), max_size=8)


@settings(deadline=None, max_examples=400)
@given(
    st.sampled_from(["", "a,b", "b,a", "a", "a,b,c", "\ufeffa,b", '"a","b"', " a , b", "1,2"]),
    plain_lines | lines,
    st.sampled_from(["\n", "\r\n", "\r", "\n\n"]),
    st.booleans(),
    st.sampled_from(
        [{}, {"header": "false"}, {"header": "true"}, {"charset": "us-ascii"}, {"header": "maybe"}]
    ),
    st.sampled_from(SIGNATURES),
    st.integers(0, 20),
)
def test_csv_in_pieces_is_what_it_is_whole(
    same, header, rows, ending, ended, parameters, signature, piece_bytes
):
    written = [header] * bool(header) + [",".join(row) for row in rows]
    body = memoryview((ending.join(written) + ending * ended).encode())
    request = Request(parameters, {})
    assert_as_whole(
        same,
        csv_parts.normalize(body, signature, request, piece_bytes),
        lambda: csv.normalize(body, signature, request),
    )


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("header", ["a,b", "0,0"])
@pytest.mark.parametrize("signature", [NAMED, SIGNATURES[2], SIGNATURES[11]])
def test_plain_numbers_in_csv_are_read_in_pieces(signature, header, ending):
    body = memoryview(ending.join([header] + ["1.5,2"] * 2000).encode())
    request = Request({"header": "true" if header == "a,b" else "false"}, {})

    count, batch = done(csv_parts.normalize(body, signature, request, piece_bytes=1000))

    assert count > 5
    assert batch.rows == 2000 + (header != "a,b")


# --- arrays --------------------------------------------------------------------------------------

NORMALIZERS = {one.media_type: one for one in prism_normalizers()}
FLOATS = SIGNATURES[2]


def stepwise(media_type, body, signature, **parameters):
    steps = NORMALIZERS[media_type].normalize_steps(memoryview(body), signature, Request(parameters, {}))
    return done(steps)[1]


def test_an_array_of_the_models_type_is_a_view_at_once_and_another_is_left_to_a_thread():
    good, other = np.ones((40_000, 2), np.float32), np.ones((40_000, 2))

    for media_type, write in (
        ("application/octet-stream", lambda a: (a.tobytes(), {"dtype": a.dtype.name})),
        ("application/vnd.prism.tensors", lambda a: (pack(Batch({"x": a})), {})),
    ):
        body, parameters = write(good)
        batch = stepwise(media_type, body, FLOATS, **parameters)
        assert np.shares_memory(batch["x"], np.frombuffer(body, np.uint8))
        body, parameters = write(other)
        assert stepwise(media_type, body, FLOATS, **parameters) is None


def test_a_fault_of_an_array_is_told_at_once():
    with pytest.raises(MalformedBody):
        stepwise("application/octet-stream", b"12345", FLOATS)
    with pytest.raises(MalformedBody):
        stepwise("application/x-npy", b"nothing", FLOATS)
    with pytest.raises(MalformedBody):
        stepwise("application/vnd.prism.tensors", b"nothing", FLOATS)


# --- answers -------------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    shape=st.lists(st.integers(0, 12), min_size=1, max_size=4),
    dtype=st.sampled_from(["<f4", "<f8", ">f4", "f2", "i8", "u1", "?", "O", "U3"]),
    odd=st.sampled_from([None, np.nan, np.inf]),
    style=st.sampled_from(["prism", "v1"]),
    name=st.sampled_from(["label", "classes", "nothing null"]),
    step_values=st.integers(1, 40),
)
def test_an_answer_in_pieces_is_what_it_is_whole(shape, dtype, odd, style, name, step_values):
    tensor = (np.arange(np.prod(shape)) / 7).reshape(shape).astype(dtype)
    if odd is not None and tensor.size and tensor.dtype.kind == "f":
        tensor.flat[-1] = odd
    outputs = Batch({"label": np.arange(3), name: tensor, "t": tensor.T, "pairs": [{"a": 1.5}]})
    answer = Answer("churn", 3, outputs, Signature((), OUTPUTS, classes=("a", "b"), primary=name), style)

    assert done(json_out_parts.encode(answer, step_values))[1] == json_out.encode(answer)


def test_a_large_answer_is_written_in_steps():
    answer = Answer("churn", 3, Batch({"y": np.ones((1, 3, 200, 200))}), NAMED)

    assert done(json_out_parts.encode(answer, 1000))[0] > 100
