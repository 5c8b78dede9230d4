"""What a runtime takes to read a request and to write its answer in each form: ``python -m bench.readers``.

The rows and forms of `bench.protocols`; microseconds of processor time, the best of several rounds.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from bench.protocols.forms import BINARY, BYTES, GRPC, JSON, NATIVE, Form
from bench.protocols.subjects import Subject, train
from bench.report import grid
from prism_core.manifest import Manifest
from prism_core.plugins import find, load_plugins
from prism_core.runtime.session import Session
from prism_core.specs import Artifact
from prism_core.types import Batch
from prism_oip.media import GRPC as GRPC_TYPE
from prism_oip.rest.dialect import DIALECT

MODELS = ("narrow", "wide", "image")
ROUNDS, SECONDS = 9, 0.05


def loaded(directory: Path, model: str) -> Session:
    """Load a graph as a runtime does."""
    plugins = load_plugins(None, built_in=("inputs",))
    loader = find(plugins.loaders, "onnx", "loader")
    path = directory / f"{model}.onnx"
    opened = loader.load(Artifact(path, path.name), msgspec.convert({}, loader.options))
    manifest = Manifest(model, 1, "onnx", "prism_onnx", path.name, "sha256:0", 1, 0.0)
    normalizers = {name: one for name, one in plugins.normalizers.items() if not one.available()}
    return Session(manifest, opened, normalizers)


def best_us(call: Callable[[], object]) -> float:
    """Return the microseconds of a call."""
    means = []
    for _ in range(ROUNDS):
        count, begun = 0, time.thread_time()
        while (spent := time.thread_time() - begun) < SECONDS:
            call()
            count += 1
        means.append(spent / count)
    return min(means) * 1e6


def media_types(form: Form, headers: dict[str, str]) -> tuple[str, str]:
    """Return in which media type the runtime gets a request, and in which it answers."""
    if form is GRPC:
        return GRPC_TYPE, GRPC_TYPE
    if form in (JSON, BINARY):
        return DIALECT.read(headers), DIALECT.accept
    return headers["content-type"], "application/json"


def line(session: Session, subject: Subject, form: Form) -> list[str]:
    """Measure one form."""
    headers, body = form.ask(subject.model, subject.tensor, subject.output, subject.rows)
    media_type, accept = media_types(form, headers)
    view = memoryview(body)
    batch = session.read(view, media_type, "", accept)
    outputs = session.execute([batch])
    asked = Batch({name: outputs.tensors[name] for name in batch.outputs or (subject.output,)}, batch.outputs)
    read = best_us(lambda: session.read(view, media_type, "", accept))
    write = best_us(lambda: session.write(asked, accept, "", batch.reply))
    return [form.name, subject.title, f"{len(body):,}", f"{read:,.1f}", f"{write:.1f}"]


def main() -> None:
    """Measure and print."""
    lines = []
    for model in MODELS:
        with tempfile.TemporaryDirectory(prefix="prism-readers-") as directory:
            subject = train(Path(directory), model)
            session = loaded(Path(directory), model)
            lines += [line(session, subject, form) for form in (NATIVE, BYTES, JSON, BINARY, GRPC)]
    print(grid(["asked in", "tensor", "bytes", "read µs", "write µs"], lines))


if __name__ == "__main__":
    main()
