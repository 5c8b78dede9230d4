"""Make the Python modules of `rpc/oip.proto`, beside it or in a directory: ``make_stubs.py [OUT]``.

grpcio-tools brings the compiler. What it writes depends on its release, so a release of grpcio-tools in
constraints.txt that writes otherwise is followed by making them anew.
"""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

SOURCES = Path(__file__).parents[1] / "src"
PROTO = "prism_oip/rpc/oip.proto"


def make_stubs(out: Path = SOURCES) -> None:
    """Write ``oip_pb2.py`` and ``oip_pb2.pyi`` under ``out``, in the package's directories."""
    known = files("grpc_tools") / "_proto"
    done = protoc.main(
        ["protoc", f"-I{SOURCES}", f"-I{known}", f"--python_out={out}", f"--pyi_out={out}", PROTO]
    )
    if done:
        raise SystemExit(done)


if __name__ == "__main__":
    make_stubs(*map(Path, sys.argv[1:]))
