"""Arrays as JSON, between tests and the scripts of clients: their bytes, so that equal means bit-equal.

A tensor is ``{"name", "datatype", "shape", "values"}``; values are hexadecimal, of BYTES a list of elements.
"""

import numpy as np

NUMPY = {
    "BOOL": "?",
    "UINT8": "u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
DATATYPES = {np.dtype(code): name for name, code in NUMPY.items()}


def dtype_of(datatype):
    """Return the numpy dtype; of BF16 that of a library which clients bring."""
    if datatype == "BF16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(NUMPY[datatype])


def packed(name, array, datatype=""):
    """Return an array as JSON says it."""
    tensor = {
        "name": name,
        "datatype": datatype or DATATYPES.get(array.dtype, "BYTES"),
        "shape": list(array.shape),
    }
    if array.dtype.kind in "OSU":
        elements = [x if isinstance(x, bytes) else str(x).encode() for x in array.ravel().tolist()]
        return tensor | {"datatype": "BYTES", "values": [element.hex() for element in elements]}
    return tensor | {"values": np.ascontiguousarray(array).tobytes().hex()}


def unpacked(tensor):
    """Return the array that `packed` was given."""
    shape, values = tensor["shape"], tensor["values"]
    if tensor["datatype"] == "BYTES":
        array = np.empty(len(values), dtype=object)
        array[:] = [bytes.fromhex(value) for value in values]
        return array.reshape(shape)
    return np.frombuffer(bytes.fromhex(values), dtype_of(tensor["datatype"])).reshape(shape)
