"""Load pickles with the names that the audit admits, and no others.

C's own unpickler where the file is a plain pickle; where joblib put arrays between the opcodes, Python's,
which reads them itself. Both look up names in one list.
"""

from __future__ import annotations

import importlib
import math
import pickle
from typing import Any, BinaryIO, ClassVar

import numpy as np

from prism_core.plugin import UnsafeArtifact
from prism_sklearn.audit.admitted import Admitted, canonical
from prism_sklearn.audit.judging import WRAPPER, Seen
from prism_sklearn.audit.telling import told
from prism_sklearn.audit.values import Kind

_READ_BYTES = 1 << 24


class Names:
    """Looks up admitted names.

    Parameters
    ----------
    admitted
        The list.
    file
        What the file is called, for messages.
    """

    def __init__(self, admitted: Admitted, file: str) -> None:
        self._admitted = admitted
        self._file = file

    def find(self, module: str, name: str) -> Any:
        """Return what is called ``name`` in ``module``.

        Raises
        ------
        UnsafeArtifact
            If it is in no list.
        """
        kind = self._admitted.kind(module, name)
        if kind is Kind.UNKNOWN:
            finding = told(self._file, [Seen(module, name)])
            raise UnsafeArtifact(finding.message, hint=finding.hint, details={"module": module, "name": name})
        if kind is Kind.TRUSTED:
            return _looked_up(module, name)
        path = canonical(module, name)
        if path == WRAPPER:
            return JoblibArray
        if path == "numpy.memmap":  # the file that it was over is not here; its content is
            return np.ndarray
        return _installed(*path.rpartition(".")[::2])


def _installed(module: str, name: str) -> Any:
    try:
        return _looked_up(module, name)
    except (ImportError, AttributeError):
        if module.startswith("numpy._core"):  # numpy 1 calls it so
            return _looked_up(module.replace("_core", "core", 1), name)
        raise


def _looked_up(module: str, name: str) -> Any:
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            # As pickle says it.
            raise AttributeError(
                f"Can't get attribute {name!r} on <module {module!r} from its file>"
            ) from None
    return found


class PlainUnpickler(pickle.Unpickler):
    """C's unpickler, with our names."""

    def __init__(self, file: BinaryIO, names: Names) -> None:
        super().__init__(file)
        self._names = names

    def find_class(self, module: str, name: str) -> Any:
        """Return an admitted name."""
        return self._names.find(module, name)


class JoblibArray:
    """What stands in a joblib file before the bytes of an array; takes the place of joblib's own class.

    joblib's would open other files in old formats, and before 1.6 read nested objects by an unpickler
    that looks up any name.
    """

    subclass: Any
    shape: tuple[int, ...]
    order: str
    dtype: np.dtype[Any]
    numpy_array_alignment_bytes: int | None = None


def read_array(array: JoblibArray, file: BinaryIO) -> Any:
    """Read the bytes of an array, which follow in ``file``."""
    if array.numpy_array_alignment_bytes is not None:
        file.read(ord(file.read(1)))
    flat = np.empty(math.prod(map(int, array.shape)), array.dtype)
    _fill(flat, file)
    shaped = flat.reshape(array.shape, order="F" if array.order == "F" else "C")
    if not shaped.dtype.isnative:
        shaped = shaped.astype(shaped.dtype.newbyteorder("="))
    return shaped.view(np.matrix) if array.subclass is np.matrix else shaped


def _fill(flat: np.ndarray[Any, Any], file: BinaryIO) -> None:
    if not flat.nbytes:
        return
    left = flat.view(np.uint8).data
    while left:
        count = file.readinto(left[:_READ_BYTES])  # type: ignore[attr-defined]
        if not count:
            raise EOFError("it ends inside an array")
        left = left[count:]


# typeshed knows Python's own unpickler as an alias of C's.
_Unpickler: Any = pickle._Unpickler


class JoblibUnpickler(_Unpickler):  # type: ignore[misc]
    """Python's unpickler, with our names and joblib's arrays."""

    def __init__(self, file: BinaryIO, names: Names) -> None:
        super().__init__(file)
        self._file = file
        self._names = names

    def find_class(self, module: str, name: str) -> Any:
        """Return an admitted name."""
        return self._names.find(module, name)

    def load_build(self) -> None:
        """Give an object its state, and put the array itself where it is one of joblib's."""
        super().load_build()
        made = self.stack[-1]
        if type(made) is JoblibArray:
            self.stack[-1] = self._array(made)

    def _array(self, array: JoblibArray) -> Any:
        if array.dtype.hasobject:  # another pickle
            return JoblibUnpickler(self._file, self._names).load()
        return read_array(array, self._file)

    dispatch: ClassVar[dict[int, Any]] = {**_Unpickler.dispatch, pickle.BUILD[0]: load_build}


def read(file: BinaryIO, names: Names, *, plain: bool) -> Any:
    """Return what a pickle holds; ``plain`` if joblib has put no arrays into it."""
    return (PlainUnpickler if plain else JoblibUnpickler)(file, names).load()
