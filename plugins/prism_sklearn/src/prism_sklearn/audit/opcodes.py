"""Every opcode of the protocols 0 to 5, and what it does to the machine."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from prism_sklearn.audit.machine import Judge, Machine
from prism_sklearn.audit.source import KEPT_BYTES, Refused, Source
from prism_sklearn.audit.values import OPAQUE, Items, Raw

# A value needs a byte at least, and the machine 50 to 100 for what stands for it.
MAX_OPCODES = 10_000_000
_PROTO, _STOP = 0x80, 0x2E
_DECIMAL = re.compile(rb"-?[0-9]+L?")
_FLOAT = re.compile(rb"[-+]?(?:[0-9.]+(?:e[-+]?[0-9]+)?|inf|nan)")
Handler = Callable[[Machine], None]


def run(source: Source, judge: Judge) -> Any:
    """Walk one pickle from its first opcode to its STOP; return what stands for the object.

    Raises
    ------
    Refused
        At the first thing that no pickler writes.
    """
    machine = Machine(source, judge)
    begun = source.offset
    handlers, byte = HANDLERS, source.byte
    try:
        for _ in range(MAX_OPCODES):
            machine.at = source.offset
            code = byte()
            if code == _STOP:
                return _stop(machine)
            if code == _PROTO and machine.at != begun:
                raise Refused(machine.at, "another pickle begins inside it")
            handlers[code](machine)
    except IndexError:
        raise Refused(machine.at, "an opcode takes a value that nothing put there") from None
    except KeyError:
        raise Refused(machine.at, "there is no such opcode: it is damaged, or no pickle") from None
    raise Refused(machine.at, f"it has more than {MAX_OPCODES:,} opcodes")


def _stop(machine: Machine) -> Any:
    if machine.marks or len(machine.stack) != 1 or machine.source.in_frame:
        raise Refused(machine.at, "it stops with values left over")
    return machine.stack[0]


# --- the stream itself -----------------------------------------------------------------


def _proto(m: Machine) -> None:
    version = m.source.byte()
    m.refuse("" if version <= 5 else f"it is written in protocol {version}; there are 0 to 5")


def _frame(m: Machine) -> None:
    m.source.begin_frame(m.source.number(8))


def _refused(what: str) -> Handler:
    def handler(m: Machine) -> None:
        m.refuse(what)

    return handler


# --- plain values ----------------------------------------------------------------------


def _constant(value: Any) -> Handler:
    def handler(m: Machine) -> None:
        m.stack.append(value)

    return handler


def _fixed(count: int, *, signed: bool = False) -> Handler:
    def handler(m: Machine) -> None:
        m.stack.append(m.source.number(count, signed=signed))

    return handler


def _long(width: int) -> Handler:
    def handler(m: Machine) -> None:
        size = m.source.number(width)
        if size <= 8:
            m.stack.append(m.source.number(size, signed=True))
        else:
            m.source.skip(size)
            m.stack.append(OPAQUE)

    return handler


def _binfloat(m: Machine) -> None:
    m.source.take(8)
    m.stack.append(OPAQUE)


def _int(m: Machine) -> None:
    text = m.source.line()
    if text in (b"00", b"01"):
        m.stack.append(text == b"01")
    else:
        _decimal(m, text)


def _long_text(m: Machine) -> None:
    _decimal(m, m.source.line())


def _decimal(m: Machine, text: bytes | None) -> None:
    if text is not None and not _DECIMAL.fullmatch(text):
        m.refuse("a number is written as none is")
    short = text is not None and len(text) < 20
    m.stack.append(int((text or b"").rstrip(b"L")) if short else OPAQUE)


def _float(m: Machine) -> None:
    text = m.source.line()
    m.refuse("" if text is not None and _FLOAT.fullmatch(text) else "a number is written as none is")
    m.stack.append(OPAQUE)


def _bytes(width: int, *, fresh: bool = False) -> Handler:
    def handler(m: Machine) -> None:
        size = m.source.number(width)
        if size <= KEPT_BYTES and not fresh:
            m.stack.append(m.source.take(size))
        else:
            m.source.skip(size)
            m.stack.append(Raw(size))

    return handler


def _text(width: int, encoding: str = "utf-8", errors: str = "surrogatepass") -> Handler:
    def handler(m: Machine) -> None:
        size = m.source.number(width)
        if size <= KEPT_BYTES:
            _decoded(m, m.source.take(size), encoding, errors)
        else:
            m.source.skip(size)
            m.stack.append(OPAQUE)

    return handler


def _unicode(m: Machine) -> None:
    text = m.source.line()
    if text is None or len(text) > KEPT_BYTES:
        m.stack.append(OPAQUE)
    else:
        _decoded(m, text, "raw-unicode-escape", "strict")


def _decoded(m: Machine, text: bytes, encoding: str, errors: str) -> None:
    try:
        m.stack.append(text.decode(encoding, errors))
    except UnicodeDecodeError:
        m.refuse("a text is none in its encoding")


def _string(m: Machine) -> None:
    text = m.source.line()
    if text is None or len(text) > KEPT_BYTES:
        m.stack.append(OPAQUE)
        return
    quoted = len(text) >= 2 and text[:1] == text[-1:] and text[:1] in (b"'", b'"')
    m.refuse("" if quoted else "a text has no quotes around it")
    plain = b"\\" not in text and text.isascii()
    m.stack.append(text[1:-1].decode("ascii") if plain else OPAQUE)


# --- containers ------------------------------------------------------------------------


def _empty(shape: type) -> Handler:
    def handler(m: Machine) -> None:
        m.stack.append(Items(shape))

    return handler


def _mark(m: Machine) -> None:
    m.marks.append(m.stack)
    m.stack = []


def _pop(m: Machine) -> None:
    if m.stack:
        m.stack.pop()
    else:
        m.since_mark()


def _pop_mark(m: Machine) -> None:
    m.since_mark()


def _dup(m: Machine) -> None:
    m.stack.append(m.stack[-1])


def _tuple(m: Machine) -> None:
    values = m.since_mark()
    m.stack.append(tuple(values))


def _tuple_of(count: int) -> Handler:
    def handler(m: Machine) -> None:
        values = tuple(m.stack[-count:])
        if len(values) < count:
            raise IndexError
        m.stack[-count:] = [values]

    return handler


def _collected(shape: type) -> Handler:
    def handler(m: Machine) -> None:
        values = m.since_mark()
        m.stack.append(Items(shape))
        m.fill(shape, values)

    return handler


def _frozen(m: Machine) -> None:
    values = m.since_mark()
    m.stack.append(Items(frozenset, values))


def _add(shape: type) -> Handler:
    def handler(m: Machine) -> None:
        values = m.since_mark()
        m.fill(shape, values)

    return handler


def _append(m: Machine) -> None:
    value = m.stack.pop()
    m.fill(list, [value])


def _set_item(m: Machine) -> None:
    value, key = m.stack.pop(), m.stack.pop()
    m.fill(dict, [key, value])


# --- the memo --------------------------------------------------------------------------


def _put_text(m: Machine) -> None:
    m.put(m.index())


def _get_text(m: Machine) -> None:
    m.get(m.index())


def _put(width: int) -> Handler:
    def handler(m: Machine) -> None:
        m.put(m.source.number(width))

    return handler


def _get(width: int) -> Handler:
    def handler(m: Machine) -> None:
        m.get(m.source.number(width))

    return handler


def _memoize(m: Machine) -> None:
    m.put(len(m.memo))


# --- names and calls -------------------------------------------------------------------


def _names(m: Machine) -> tuple[Any, Any]:
    lines = (m.source.line(), m.source.line())
    try:
        module, name = (
            line.decode("utf-8") if line is not None and len(line) <= KEPT_BYTES else None for line in lines
        )
    except UnicodeDecodeError:
        return None, None
    return module, name


def _global(m: Machine) -> None:
    m.find(*_names(m))


def _stack_global(m: Machine) -> None:
    name, module = m.stack.pop(), m.stack.pop()
    m.find(module, name)


def _reduce(m: Machine) -> None:
    args, what = m.stack.pop(), m.stack.pop()
    m.call(what, args, m.judge.call)


def _newobj(m: Machine) -> None:
    args, what = m.stack.pop(), m.stack.pop()
    m.call(what, args, m.judge.new)


def _newobj_ex(m: Machine) -> None:
    named, args, what = m.stack.pop(), m.stack.pop(), m.stack.pop()
    plain = isinstance(named, Items) and named.count == 0
    m.call(what, args if plain else OPAQUE, m.judge.new)


def _inst(m: Machine) -> None:
    m.find(*_names(m))
    what = m.stack.pop()
    args = tuple(m.since_mark())
    m.call(what, args, m.judge.call)


def _obj(m: Machine) -> None:
    values = m.since_mark()
    m.call(values[0], tuple(values[1:]), m.judge.call)


def _build(m: Machine) -> None:
    m.build()


_PERSISTENT = "it refers to an object outside of the file"
_EXTENSION = "it names something by a number that only its author's program knows"
_BUFFER = "it refers to a buffer outside of the file"

HANDLERS: dict[int, Handler] = {
    ord(code): handler
    for code, handler in {
        "\x80": _proto, "\x95": _frame,
        "N": _constant(None), "\x88": _constant(True), "\x89": _constant(False),
        "K": _fixed(1), "M": _fixed(2), "J": _fixed(4, signed=True), "\x8a": _long(1), "\x8b": _long(4),
        "I": _int, "L": _long_text, "F": _float, "G": _binfloat,
        "C": _bytes(1), "B": _bytes(4), "\x8e": _bytes(8), "\x96": _bytes(8, fresh=True),
        "\x8c": _text(1), "X": _text(4), "\x8d": _text(8), "V": _unicode,
        "U": _text(1, "ascii", "strict"), "T": _text(4, "ascii", "strict"), "S": _string,
        "]": _empty(list), "}": _empty(dict), "\x8f": _empty(set), ")": _constant(()),
        "(": _mark, "0": _pop, "1": _pop_mark, "2": _dup,
        "t": _tuple, "\x85": _tuple_of(1), "\x86": _tuple_of(2), "\x87": _tuple_of(3),
        "l": _collected(list), "d": _collected(dict), "\x91": _frozen,
        "a": _append, "e": _add(list), "s": _set_item, "u": _add(dict), "\x90": _add(set),
        "p": _put_text, "q": _put(1), "r": _put(4), "\x94": _memoize,
        "g": _get_text, "h": _get(1), "j": _get(4),
        "c": _global, "\x93": _stack_global, "R": _reduce, "\x81": _newobj, "\x92": _newobj_ex,
        "i": _inst, "o": _obj, "b": _build,
        "P": _refused(_PERSISTENT), "Q": _refused(_PERSISTENT),
        "\x82": _refused(_EXTENSION), "\x83": _refused(_EXTENSION), "\x84": _refused(_EXTENSION),
        "\x97": _refused(_BUFFER), "\x98": _refused(_BUFFER),
    }.items()
}  # fmt: skip
