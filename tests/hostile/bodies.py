"""What can be wrong with a body's bytes and its head, whatever the JSON says; spoilers as in `trees`."""

from __future__ import annotations

import gzip
import json
import random
import zlib

from prism_core.testing.fuzzing import damage
from tests.hostile.drafts import HEADER, Draft, good
from tests.hostile.subjects import MODELS
from tests.hostile.trees import Spoiler

# What a packed body may unpack to is the server's largest body: these go beyond.
BOMB_BYTES = 9 * 1024 * 1024
TOKENS = [
    b'"binary_data_size":', b'"inputs":[', b'"shape":[', b"-1,", b'"datatype":"BYTES"', b"[[[[", b"]]]]",
    b"}}", b"\\u0000",
    b"\xff\xff\xff\xff", b"\0\0\0\0", b"Infinity", b"1e400", b"\xc3\x28", b"\xf8\x88\x80\x80\x80",
    b'"parameters":{',
]  # fmt: skip
LENGTHS = [
    "-1", "+1", "0x10", "1e2", "NaN", "inf", "", " ", "1 1", "1,1", "١٢", "9" * 19, "9" * 1000, str(2**63),
    str(2**64), "1.0",
    "none", "00000000000000000000001", "-0", "1_0", "2147483648",
]  # fmt: skip
TIMES = ["-1", "0", "NaN", "inf", "1e400", "x", "", "1,5", "86401", "0x1"]
ODD = ["", " ", ";", "/", "*/*;q=nan", "application/json;;;", "a" * 1000, "text/csv",
"multipart/form-data; boundary=x",
       "application/x-www-form-urlencoded", "application/vnd.prism.oip;header=9", "\xff",
       "q" * 300 + ";q=1", "image/png"]  # fmt: skip
NAMES = [
    "nobody", "line@nobody", "line@", "@", "..", "%2e%2e", "line%00", "line%2Finfer", "LINE", "-",
    "a" * 900, "line;a=b",
    "line%20", "%ff", "line@latest@latest", "versions",
]  # fmt: skip
VERSIONS = [
    "0",
    "-1",
    "99",
    "9" * 30,
    "nobody",
    "1.0",
    "1e0",
    "%31x",
    "",
    "latest/x",
    "01x",
    "1@latest",
    "%00",
    "٣",
]


def mutated(draft: Draft, chance: random.Random) -> None:
    """The body, damaged anywhere."""
    other = good(chance, draft.model).written()
    draft.body = damage(draft.written(), chance, TOKENS, other)


def cut(draft: Draft, chance: random.Random) -> bool:
    body = draft.written()
    draft.body = body[: chance.randrange(len(body))]
    return True


def tail(draft: Draft, chance: random.Random) -> bool:
    if not draft.raws:
        draft.raws = [b""]
    draft.body = draft.written() + chance.choice([b"\0", b"x", b"{}", b"\n\0", b"\xff" * 1000])
    return True


def not_text(draft: Draft, chance: random.Random) -> bool:
    """JSON in another encoding, or in none."""
    text = json.dumps(good(chance, "line", raw=False).tree)
    bad = text.replace("input", "inp\udcffut")
    draft.body, draft.raws = (
        chance.choice(
            [
                text.encode("utf-16"),
                text.encode("utf-32"),
                bad.encode(errors="surrogateescape"),
                bad.encode(errors="surrogatepass"),
                text.replace("input", "inp\0ut").encode(),
                b"\xef\xbb\xbf" * 2 + text.encode(),
            ]
        ),
        [],
    )
    return True


def lying_header(draft: Draft, chance: random.Random) -> bool:
    """A length of the JSON that is none."""
    draft.written()
    draft.say(HEADER, chance.choice(LENGTHS))
    return True


def wrong_header(draft: Draft, chance: random.Random) -> bool:
    """A length of the JSON that is another."""
    length = len(draft.written())
    told = int(draft.said(HEADER) or length)
    draft.say(HEADER, str(chance.choice([told - 1, told + 1, 1, length + 1, told // 2])))
    return True


def raw_request(draft: Draft, chance: random.Random) -> bool | None:
    """All of the body is one tensor, with any length."""
    draft.say(HEADER, "0")
    length = chance.choice([0, 1, 7, 15, 16, 17, 24, 32, 4096, 100_001])
    draft.body = bytes(chance.randrange(256) for _ in range(min(length, 64))).ljust(length, b"\1")
    return None if len(MODELS[draft.model]) == 1 and length and length % 16 == 0 else True


def strings(draft: Draft, chance: random.Random) -> bool | None:
    """Elements of BYTES whose lengths lie."""
    lengths = [chance.choice([0, 1, 2, 3, 5, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1]) for _ in range(2)]
    raw = b"".join(n.to_bytes(4, "little") + b"x" * chance.choice((0, min(n, 5))) for n in lengths)
    raw = raw[: len(raw) - chance.choice((0, 0, 1, 3))]
    if chance.random() < 0.3:
        raw = b"\2\0\0\0\xff\xfe"  # not UTF-8
    rows = chance.choice((1, 2))
    draft.model, draft.raws = "table", [raw]
    draft.path = "/v2/models/table/infer"
    city = {
        "name": "city",
        "shape": [rows],
        "datatype": "BYTES",
        "parameters": {"binary_data_size": len(raw)},
    }
    age = {"name": "age", "shape": [rows], "datatype": "FP64", "data": [1.0] * rows}
    draft.tree = {"inputs": [age, city]}
    return None


def _gzip(body: bytes) -> bytes:
    """Return the same bytes each time: no time stands in them."""
    return gzip.compress(body, mtime=0)


def not_packed(draft: Draft, chance: random.Random) -> bool:
    """A body that is not what its Content-Encoding says, or not all of it."""
    body, way = draft.written(), chance.choice(("gzip", "deflate"))
    packed = _gzip(body) if way == "gzip" else zlib.compress(body)
    at = chance.randrange(len(packed))
    wrong = {
        "plain": body,
        "cut": packed[:at],
        "tail": packed + b"more",
        "sum": packed[:-8] + bytes(8),
        "empty": b"",
    }
    draft.body = wrong[chance.choice(list(wrong))]
    draft.say("Content-Encoding", way)
    return True


def damaged_packed(draft: Draft, chance: random.Random) -> None:
    draft.body = damage(_gzip(draft.written()), chance)
    draft.say("Content-Encoding", "gzip")


def bomb(draft: Draft, chance: random.Random) -> bool:
    """A thousandth of what it unpacks to."""
    blank = chance.choice((b" ", b"[", b"0"))
    draft.body = BOMBS[blank, way := chance.choice(("gzip", "deflate"))]
    draft.say("Content-Encoding", way)
    return True


BOMBS = {
    (blank, way): pack(blank * BOMB_BYTES)
    for blank in (b" ", b"[", b"0")
    for way, pack in (("gzip", _gzip), ("deflate", zlib.compress))
}


def encoding(draft: Draft, chance: random.Random) -> bool:
    odd = ["br", "zstd", "gzip, gzip", "gzip,deflate", "GZIP;q=1", "x", "a" * 500, "identity, gzip"]
    draft.written()
    draft.say("Content-Encoding", chance.choice(odd))
    return True


def timeout(draft: Draft, chance: random.Random) -> bool:
    draft.say("X-Prism-Timeout", chance.choice(TIMES))
    return True


def head(draft: Draft, chance: random.Random) -> None:
    """Headers that say odd things, most of which nobody needs to hear."""
    names = [
        "Content-Type",
        "Accept",
        "Accept-Encoding",
        "Cache-Control",
        "X-Request-Id",
        "Authorization",
        "TE",
        "Origin",
    ]
    for name in chance.sample(names, chance.choice((1, 2, 4))):
        draft.say(name, chance.choice(ODD))


def no_model(draft: Draft, chance: random.Random) -> bool:
    draft.path = f"/v2/models/{chance.choice(NAMES)}/infer"
    return True


def no_version(draft: Draft, chance: random.Random) -> bool:
    draft.path = f"/v2/models/{draft.model}/versions/{chance.choice(VERSIONS)}/infer"
    return True


def method(draft: Draft, chance: random.Random) -> bool:
    draft.method = chance.choice(["GET", "PUT", "DELETE", "PATCH", "HEAD", "PROPFIND"])
    return True


def repository(draft: Draft, chance: random.Random) -> bool:
    """What changes the server is not here, and what is here is asked for by its own method."""
    draft.path = chance.choice(
        [
            "/v2/repository/models/line/unload",
            "/v2/repository/models/line/load",
            "/v2/repository/models/../../index",
            "/v2/models/nobody/stats",
            "/v2/systemsharedmemory/region/a/register",
            "/v2/models/line/infer/infer",
            "/v2/models//infer",
            "/v2//models/line/infer",
        ]
    )
    return True


SPOILERS: dict[str, Spoiler] = {
    "mutated": mutated, "cut": cut, "tail": tail, "not text": not_text, "lying header": lying_header,
    "wrong header": wrong_header, "raw request": raw_request, "strings": strings, "not packed": not_packed,
    "damaged packed": damaged_packed, "bomb": bomb, "encoding": encoding, "timeout": timeout, "head": head,
    "no model": no_model, "no version": no_version, "method": method, "repository": repository,
}  # fmt: skip
