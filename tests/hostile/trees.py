"""What can be wrong in the JSON of a request: each spoils a draft in a way of its own, and says so.

A spoiler returns whether the request must be refused; None leaves that open: it may still mean something.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from tests.hostile.drafts import Draft

Spoiler = Callable[[Draft, random.Random], bool | None]

BIG = 2**63
SHAPES: list[Any] = [
    None, 1, "2", {}, [], [[1, 2]], [-1, 2], [1, -2], [-2, -1], [-1, -2], [2**31, 2**31], [2**32, 2**32],
    [BIG - 1, 2],
    [BIG, 2], [2**64, 2**64], [-BIG, -BIG], [2**64 - 1, 2], [1.5, 2], ["1", 2], [None], [0, BIG], [0, -1],
    [1] * 1000,
    [2] * 100, [2**1000], [1e308, 2], [float("nan"), 2], [float("inf")], [1, 3], [7, 7, 7], [2**62, 4],
    [2**61, 8],
]  # fmt: skip
DATATYPES: list[Any] = [
    "fp32", "FP128", "FP", "", " FP32", "COMPLEX64", "STRING", "float64", "object", "O", "<f8", "FP32\0",
    "INT64,INT64",
    None, 1, [], {}, ["FP32"], True, "A" * 10_000, "\ud800",
]  # fmt: skip
NOT_DATA: list[Any] = [
    None,
    1,
    "abc",
    {},
    {"a": 1},
    True,
    [[]],
    [[[]]],
    [None],
    [{}],
    [[1], [2, 3]],
    [1, [2]],
]
VALUES: list[Any] = [
    None, "x", "\ud800", {}, [], [[[[1]]]], float("nan"), float("inf"), -float("inf"), 10**400, -(10**400),
    BIG, -BIG - 1,
    2**64, 1e308, -1e308, 1.5, True, "1", "9" * 5000, -1, 256, 65536, 2**32,
]  # fmt: skip
SIZES: list[Any] = [
    -1, 0, 1, 3, BIG, 2**64, 2**1000, 1.5, "8", None, [], {}, True, float("nan"), float("inf"), 1e308,
    -BIG, "NaN",
]  # fmt: skip
NAMES: list[Any] = [
    None,
    1,
    "",
    [],
    {},
    "nobody",
    "a" * 20_000,
    "\ud800",
    "input\0",
    True,
    "../../etc",
    "__class__",
]


# Where @ stands there is a deep nest.
SPOTS = [
    '{"inputs":[{"name":"input","shape":[1,2],"datatype":"FP64","data":@}]}',
    '{"inputs":[{"name":"input","shape":@,"datatype":"FP64","data":[1,2]}]}',
    '{"parameters":{"a":@},"inputs":[]}',
    '{"zzz":@,"inputs":[]}',
    "@",
]


def tensor(draft: Draft, chance: random.Random) -> dict[str, Any]:
    return chance.choice(draft.tree["inputs"])


def shape(draft: Draft, chance: random.Random) -> None:
    tensor(draft, chance)["shape"] = chance.choice(SHAPES)


def overflowing_shape(draft: Draft, chance: random.Random) -> bool:
    """A product that is what was sent in 32 or 64 bits, and not in truth."""
    one = tensor(draft, chance)
    bits, dims = chance.choice((32, 64)), one["shape"]
    count = dims[0]
    negative = [-count, *([-dim for dim in dims[1:]] or [-1])]
    many = [2 ** (bits // 2), 2 ** (bits // 2), *dims]
    one["shape"] = chance.choice([[count + 2**bits, *dims[1:]], negative, many])
    return True


def datatype(draft: Draft, chance: random.Random) -> bool:
    tensor(draft, chance)["datatype"] = chance.choice(DATATYPES)
    return True


def other_datatype(draft: Draft, chance: random.Random) -> None:
    tensor(draft, chance)["datatype"] = chance.choice(["BOOL", "INT8", "UINT64", "FP16", "BYTES", "BF16"])


def data(draft: Draft, chance: random.Random) -> None:
    tensor(draft, chance)["data"] = chance.choice(NOT_DATA)


def one_value(draft: Draft, chance: random.Random) -> None:
    one = tensor(draft, chance)
    count = len(one.get("data", [])) or 2
    one["data"] = [chance.choice(VALUES) if chance.random() < 0.7 else 1 for _ in range(count)]


def more_data(draft: Draft, chance: random.Random) -> bool:
    one = tensor(draft, chance)
    one["data"] = [*one.get("data", []), *[0] * chance.choice((1, 2, 1000))]
    return True


def deep(draft: Draft, chance: random.Random) -> bool:
    depth = chance.choice((10, 100, 1_000, 10_000, 100_000))
    opening, closing = chance.choice((("[", "]"), ('{"a":', "}")))
    nest = opening * depth + "1" + closing * (depth if chance.random() < 0.7 else 0)
    draft.body = chance.choice(SPOTS).replace("@", nest).encode()
    draft.raws = []
    return True


def name(draft: Draft, chance: random.Random) -> bool:
    tensor(draft, chance)["name"] = chance.choice(NAMES)
    return True


def missing(draft: Draft, chance: random.Random) -> bool:
    one = tensor(draft, chance)
    del one[chance.choice([key for key in one if key != "parameters"])]
    return True


def twice(draft: Draft, chance: random.Random) -> bool:
    draft.tree["inputs"] += [dict(tensor(draft, chance))] * chance.choice((1, 1, 1000))
    return True


def fewer(draft: Draft, chance: random.Random) -> bool:
    draft.tree["inputs"].remove(tensor(draft, chance))
    return True


def inputs(draft: Draft, chance: random.Random) -> bool:
    wrong = [None, {}, [], 1, "x", [1], [None], [[]], ["input"], [{}] * 1000, True]
    draft.tree["inputs"] = chance.choice(wrong)
    return True


def outputs(draft: Draft, chance: random.Random) -> bool:
    unknown = {"name": "nobody"}
    wrong = [
        {},
        1,
        "x",
        [1],
        [None],
        [[]],
        [{}],
        [unknown],
        [unknown] * 1000,
        [{"name": 1}],
        [{"name": None}],
    ]
    draft.tree["outputs"] = chance.choice(wrong)
    return True


def output_parameters(draft: Draft, chance: random.Random) -> bool:
    wanted = {"line": "predictions", "table": "predictions", "types": "out_fp32"}[draft.model]
    refused = [{"classification": 3}, {"shared_memory_region": "a"}, {"shared_memory_region": 1}]
    odd = [1, "x", [], {"binary_data": "yes"}, {"binary_data": 1}]
    draft.tree["outputs"] = [{"name": wanted, "parameters": chance.choice([*odd, *refused])}]
    return True


def parameters(draft: Draft, chance: random.Random) -> None:
    spot = draft.tree if chance.random() < 0.5 else tensor(draft, chance)
    values = [None, 1, -1, 1e308, "x", [], {}, True, BIG, 2**64, float("nan"), {"a": {"a": {}}}, "\ud800"]
    keys = [
        "binary_data_output", "sequence_id", "sequence_start", "priority", "timeout", "headers",
        "content_type",
        "classification", "binary_data", "shared_memory_region", "shared_memory_byte_size", "triton_x",
        "a" * 5000, "",
    ]  # fmt: skip
    told = {chance.choice(keys): chance.choice(values) for _ in range(chance.choice((1, 2, 500)))}
    spot["parameters"] = chance.choice([told, told, told, *values])


def size(draft: Draft, chance: random.Random) -> None:
    told = tensor(draft, chance)
    told["parameters"] = {"binary_data_size": chance.choice(SIZES)}
    draft.raws = draft.raws or [b""]


def sizes(draft: Draft, chance: random.Random) -> bool:
    """All tensors are raw, and their sizes lie by a few bytes, or their sum by none."""
    told = [one["parameters"] for one in draft.tree["inputs"] if "parameters" in one]
    if not told:
        return more_data(draft, chance)
    chance.choice(told)["binary_data_size"] += chance.choice((-8, -1, 1, 7, 8, 2**32, BIG, 2**64))
    return True


def both(draft: Draft, chance: random.Random) -> bool:
    one = tensor(draft, chance)
    one.setdefault("data", [1, 2])
    one.setdefault("parameters", {"binary_data_size": 16})
    draft.raws = draft.raws or [b"\0" * 16]
    return True


def identity(draft: Draft, chance: random.Random) -> None:
    odd = [1, None, [], {}, True, 1.5, "x" * 20_000, "\ud800", "\r\nX-A: b", "\0"]
    draft.tree["id"] = chance.choice(odd)


def other_tree(draft: Draft, chance: random.Random) -> bool:
    draft.tree = chance.choice([[], 1, "x", None, {}, [draft.tree], {"inputs": draft.tree}, True, 1.5])
    return True


def unknown_keys(draft: Draft, chance: random.Random) -> None:
    spot = draft.tree if chance.random() < 0.5 else tensor(draft, chance)
    spot |= {f"key{number}": [number] for number in range(chance.choice((1, 50, 2000)))}


SPOILERS: dict[str, Spoiler] = {
    "shape": shape, "overflowing shape": overflowing_shape, "datatype": datatype,
    "other datatype": other_datatype,
    "data": data, "one value": one_value, "more data": more_data, "deep": deep, "name": name,
    "missing": missing,
    "twice": twice, "fewer": fewer, "inputs": inputs, "outputs": outputs,
    "output parameters": output_parameters,
    "parameters": parameters, "size": size, "sizes": sizes, "both": both, "id": identity,
    "tree": other_tree,
    "unknown keys": unknown_keys,
}  # fmt: skip
