"""Serialized requests of gRPC, each spoilt in a way of its own; message so and so of a seed. No I/O."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import attrs
import numpy as np

from prism_core.testing.fuzzing import damage
from tests.hostile import wires
from tests.hostile.requests import SHOWN_BYTES
from tests.hostile.subjects import MODELS, array_of, raw_of
from tests.hostile.trees import DATATYPES

NAME, VERSION, ID, PARAMETERS, INPUTS, OUTPUTS, RAW = range(1, 8)
CONTENTS = {
    "BOOL": 1, "INT8": 2, "INT16": 2, "INT32": 2, "INT64": 3, "UINT8": 4, "UINT16": 4, "UINT32": 4,
    "UINT64": 5,
    "FP32": 6, "FP64": 7, "BYTES": 8,
}  # fmt: skip
BIG = 2**63
SHAPES = [
    [], [-1, 2], [1, -2], [-2, -1], [2**31, 2**31], [2**32, 2**32], [BIG - 1, 2], [-BIG, -BIG], [0, 2], [0,
    -1], [1] * 1000,
    [2] * 100, [2**62, 4], [2**61, 8], [3, 3, 3], [1] * 20_000, [2**32 + 1, 2],
]  # fmt: skip
TEXTS = [
    b"",
    b"\xff\xfe",
    b"\xc3(",
    b"\xed\xa0\x80",
    b"nobody",
    b"..",
    b"\0",
    b"a" * 20_000,
    b"line@nobody",
    b"line/1",
]
TOKENS = [
    b"\x3a",
    b"\x2a\x00",
    b"\x0a\xff\xff\xff\xff\x0f",
    b"\xff" * 10,
    b"\x0b",
    b"\x0c",
    b"\x00",
    b"\x80" * 11,
]


@attrs.define
class Draft:
    """A message before it is written: its fields by number, raw contents apart."""

    model: str
    fields: list[Any]
    inputs: list[list[Any]]
    raws: list[bytes]
    data: bytes | None = None

    def written(self) -> bytes:
        """Return the bytes."""
        if self.data is None:
            inputs = [(INPUTS, one) for one in self.inputs]
            self.data = wires.message([*self.fields, *inputs, *((RAW, raw) for raw in self.raws)])
        return self.data


Spoiler = Callable[[Draft, random.Random], bool | None]


def good(chance: random.Random, *, raw: bool | None = None) -> Draft:
    """Return a message that is right, with raw or with typed contents."""
    model = chance.choice(["line", "line", "table", "types"])
    raw = chance.random() < 0.6 or model == "types" if raw is None else raw
    draft = Draft(model, [(NAME, model), (ID, "7")], [], [])
    rows = chance.choice((1, 1, 2, 5))
    for one in MODELS[model]:
        array = array_of(one, rows, chance)
        told: list[Any] = [(1, one.name), (2, one.datatype), (3, wires.packed(array.shape))]
        if raw:
            draft.raws.append(raw_of(array))
        else:
            told.append((5, contents(one.datatype, array)))
        draft.inputs.append(told)
    return draft


def contents(datatype: str, array: np.ndarray) -> list[Any]:
    """Return typed contents."""
    number = CONTENTS.get(datatype, 6)
    if datatype == "BYTES":
        return [(number, str(word)) for word in array.ravel()]
    if datatype in ("FP32", "FP64"):
        return [(number, array.tobytes())]
    return [(number, wires.packed(array.ravel().astype(int).tolist()))]


# --- what a message says ------------------------------------------------------------------------


def put(one: list[Any], number: int, value: Any) -> None:
    one[:] = [*(field for field in one if field[0] != number), (number, value)]


def shape(draft: Draft, chance: random.Random) -> bool | None:
    dims = chance.choice(SHAPES)
    put(chance.choice(draft.inputs), 3, wires.packed(dims))
    return True if dims else None


def datatype(draft: Draft, chance: random.Random) -> bool:
    put(chance.choice(draft.inputs), 2, str(chance.choice(DATATYPES)))
    return True


def name(draft: Draft, chance: random.Random) -> bool:
    put(chance.choice(draft.inputs), 1, chance.choice(TEXTS))
    return True


def model_name(draft: Draft, chance: random.Random) -> bool:
    put(draft.fields, NAME, chance.choice(TEXTS))
    return True


def version(draft: Draft, chance: random.Random) -> bool:
    put(
        draft.fields,
        VERSION,
        chance.choice([b"0", b"-1", b"99", b"9" * 40, b"nobody", b"1.0", b"\xff", b"x/y"]),
    )
    return True


def identity(draft: Draft, chance: random.Random) -> None:
    put(draft.fields, ID, chance.choice(TEXTS))


def raw_size(draft: Draft, chance: random.Random) -> bool | None:
    if not draft.raws:
        return both(draft, chance)
    at = chance.randrange(len(draft.raws))
    raw = draft.raws[at]
    changed = chance.choice([raw[:-1], raw + b"\0", b"", raw * 2, raw + b"\1" * 5000])
    if changed == raw:
        return None
    draft.raws[at] = changed
    return True


def raw_count(draft: Draft, chance: random.Random) -> bool:
    if draft.raws and chance.random() < 0.5:
        del draft.raws[chance.randrange(len(draft.raws))]
    else:
        draft.raws += [b"\0" * 16] * (len(draft.inputs) + chance.choice((1, 1000)))
    return True


def both(draft: Draft, chance: random.Random) -> bool:
    """Raw contents and typed ones."""
    for one in draft.inputs:
        put(one, 5, [(6, b"\0" * 8)])
    draft.raws = draft.raws or [b"\0" * 16 for _ in draft.inputs]
    return True


def other_contents(draft: Draft, chance: random.Random) -> None:
    """Typed contents of another datatype, of another number of values, out of its range, or cut."""
    draft.raws = []
    for one in draft.inputs:
        number = chance.randrange(10)
        values = [
            chance.choice((0, 1, -1, 300, 2**31, 2**32, BIG, 2**64 - 1))
            for _ in range(chance.choice((0, 1, 2, 4)))
        ]
        packed = wires.packed(values)
        put(one, 5, [(number, chance.choice([packed, packed[:-1], b"\0" * 7, *values[:1]]))])


def strings(draft: Draft, chance: random.Random) -> None:
    """Elements of BYTES whose lengths lie."""
    draft.model, rows = "table", 1
    draft.fields = [(NAME, "table")]
    draft.inputs = [
        [(1, "age"), (2, "FP64"), (3, wires.packed([rows]))],
        [(1, "city"), (2, "BYTES"), (3, wires.packed([rows]))],
    ]
    length = chance.choice([0, 1, 5, 2**16, 2**31 - 1, 2**31, 2**32 - 1])
    draft.raws = [
        b"\0" * 8,
        length.to_bytes(4, "little")[: chance.choice((4, 3))] + chance.choice([b"", b"x", b"\xff"]),
    ]


def parameters(draft: Draft, chance: random.Random) -> None:
    """Parameters without a value, with an odd one, or many."""
    keys = [
        "timeout",
        "priority",
        "sequence_id",
        "classification",
        "shared_memory_region",
        "headers",
        "a" * 5000,
        "\ud800",
    ]
    values: list[list[Any]] = [
        [], [(1, 2)], [(2, -BIG)], [(3, b"\xff")], [(3, "x" * 5000)], [(4, float("nan"))], [(5,
        2**64 - 1)], [(99, 1)],
        [(1, b"x")], [(1, 1), (2, 2), (3, "x")],
    ]  # fmt: skip
    spot = draft.fields if chance.random() < 0.5 else chance.choice(draft.inputs)
    for _ in range(chance.choice((1, 1, 3, 2000))):
        spot.append((PARAMETERS, [(1, chance.choice(keys)), (2, chance.choice(values))]))


def outputs(draft: Draft, chance: random.Random) -> bool:
    told = chance.choice(
        [
            [(1, "nobody")],
            [],
            [(1, b"\xff")],
            [(1, "predictions"), (2, [(1, "classification"), (2, [(2, 3)])])],
        ]
    )
    draft.fields += [(OUTPUTS, told)] * chance.choice((1, 1, 1000))
    return True


def twice(draft: Draft, chance: random.Random) -> bool:
    draft.inputs += [list(chance.choice(draft.inputs))] * chance.choice((1, 1, 2000))
    draft.raws += [b"\0" * 16] * (1 if draft.raws else 0)
    return True


def fewer(draft: Draft, chance: random.Random) -> bool:
    at = chance.randrange(len(draft.inputs))
    del draft.inputs[at]
    del draft.raws[at : at + 1]
    return True


# --- how it is written --------------------------------------------------------------------------


def cut(draft: Draft, chance: random.Random) -> bool | None:
    """An end in the middle of a field; at a field's end it is a message of fewer fields."""
    data = draft.written()
    at = chance.randrange(len(data))
    draft.data = data[:at]
    return None if at in {stop for _, _, _, stop in wires.spans(data)} | {0} else True


def lying_length(draft: Draft, chance: random.Random) -> bool:
    """A field that claims to go on behind the message."""
    data = draft.written()
    number, _, start, _ = chance.choice([span for span in wires.spans(data) if span[1] == wires.BYTES])
    length = chance.choice([len(data), 2**20, 2**31 - 1, 2**31, 2**32 - 1, 2**32, BIG, 2**64 - 1])
    rest = data[start + 1 :]
    draft.data = (
        data[:start]
        + wires.tag(number, wires.BYTES)
        + wires.varint(length, least=chance.choice((1, 5)))
        + rest
    )
    return True


def wire_type(draft: Draft, chance: random.Random) -> bool | None:
    """A field of another wire type; protobuf skips what it does not know by number and type."""
    data = draft.written()
    number, kind, start, stop = chance.choice(wires.spans(data))
    other = chance.choice([one for one in range(8) if one != kind])
    draft.data = data[:start] + wires.tag(number, other) + data[start + 1 : stop] + data[stop:]
    return True if other in (wires.OPEN, wires.CLOSE, 6, 7) else None


def no_number(draft: Draft, chance: random.Random) -> bool:
    """A field number that there is not."""
    data = draft.written()
    at = chance.choice([0, *(stop for _, _, _, stop in wires.spans(data))])
    bad = chance.choice([b"\x00\x01", b"\x02\x00", b"\x80" * 11 + b"\1", wires.varint(2**35 | 2) + b"\0"])
    draft.data = data[:at] + bad + data[at:]
    return True


def long_numbers(draft: Draft, chance: random.Random) -> None:
    """Numbers in more bytes than they need: right up to ten."""
    least = chance.choice((2, 5, 9, 10, 11, 100))
    put(chance.choice(draft.inputs), 3, b"".join(wires.varint(dim, least=least) for dim in (1, 2)))


def unknown(draft: Draft, chance: random.Random) -> None:
    """Fields that nobody knows, large, many or deep: they are skipped."""
    nest = b""
    for _ in range(chance.choice((1, 50, 1000))):
        nest = wires.sized(15, nest)
    kind = chance.randrange(3)
    extra = [
        nest,
        wires.sized(1000, b"\xff" * 50_000),
        wires.message([(99, 1)]) * chance.choice((10, 2000)),
    ][kind]
    draft.data = extra + draft.written()


def groups(draft: Draft, chance: random.Random) -> bool:
    depth = chance.choice((1, 100, 5000))
    opened = wires.tag(20, wires.OPEN) * depth
    draft.data = (
        draft.written() + opened + wires.tag(20, wires.CLOSE) * (depth if chance.random() < 0.7 else 0)
    )
    return True


def again(draft: Draft, chance: random.Random) -> None:
    """A field once more: the last one counts, messages are merged."""
    data = draft.written()
    _, _, start, stop = chance.choice(wires.spans(data))
    draft.data = data + data[start:stop] * chance.choice((1, 2, 200))


def mutated(draft: Draft, chance: random.Random) -> None:
    draft.data = damage(draft.written(), chance, TOKENS, good(chance).written())


def nothing(draft: Draft, chance: random.Random) -> bool:
    draft.data = chance.choice([b"", b"\0", b"{}", b"\xff" * 100, b'{"inputs":[]}', b"\x0a"])
    return True


SPOILERS: dict[str, Spoiler] = {
    "shape": shape, "datatype": datatype, "name": name, "model name": model_name, "version": version,
    "id": identity,
    "raw size": raw_size, "raw count": raw_count, "both": both, "other contents": other_contents,
    "strings": strings,
    "parameters": parameters, "outputs": outputs, "twice": twice, "fewer": fewer, "cut": cut,
    "lying length": lying_length,
    "wire type": wire_type, "no number": no_number, "long numbers": long_numbers, "unknown": unknown,
    "groups": groups,
    "again": again, "mutated": mutated, "nothing": nothing,
}  # fmt: skip
WEIGHTS = {name: {"mutated": 6.0, "twice": 0.5}.get(name, 1.0) for name in SPOILERS}


@attrs.frozen
class Case:
    """A message, how it was spoilt, and whether it must be refused."""

    seed: int
    number: int
    kind: str
    data: bytes
    wrong: bool

    def __str__(self) -> str:
        shown = repr(self.data[:SHOWN_BYTES]) + ("..." if len(self.data) > SHOWN_BYTES else "")
        return f"messages.case({self.seed}, {self.number}), {self.kind}: {len(self.data)} bytes {shown}"


def case(seed: int, number: int) -> Case:
    """Return one message."""
    chance = random.Random(f"{seed}/{number}")
    (kind,) = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))
    draft = good(chance)
    wrong = bool(SPOILERS[kind](draft, chance))
    return Case(seed, number, kind, draft.written(), wrong)
