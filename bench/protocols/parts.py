"""What is measured, part by part: which servers, asked in which forms, for what, on how many connections."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import attrs
import grpc
import httpx
import numpy as np

from bench import environments, h2load, processes
from bench.protocols.forms import BINARY, BYTES, FORMS, GRPC, Form
from bench.protocols.hosts import Host, made
from bench.protocols.subjects import Subject, train
from bench.servers import Unfit, serving


@attrs.frozen
class Part:
    """Each of ``hosts`` is asked in each of its forms for each of ``models``."""

    hosts: dict[str, Sequence[Form]]
    models: tuple[str, ...]
    connections: tuple[int, ...]


HOP = {"bare hop": (BYTES,), "bare hop, with the model": (BYTES,)}
PARTS = {
    "peers": Part({"PRISM": (BINARY, GRPC), "pytriton": (BINARY, GRPC)}, ("mlp",), (1, 64)),
    "image": Part(HOP | {"PRISM": (BYTES, BINARY, GRPC), "pytriton": (BINARY, GRPC)}, ("image",), (1, 4)),
    "forms": Part({"PRISM": FORMS}, ("narrow", "wide"), (1, 64)),
}


@attrs.frozen
class Row:
    """One load. Processor time is microseconds a request, of all of the server's processes."""

    part: str
    model: str
    server: str
    form: str
    connections: int
    rps: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    generator_cores: float


def measure(name: str, rounds: int, seconds: int) -> Iterator[Row]:
    """Yield the loads of a part; the servers run side by side and take turns."""
    part = PARTS[name]
    for model in part.models:
        with TemporaryDirectory(prefix="bench-protocols-") as directory:
            subject = train(Path(directory), model)
            with opened(part, subject, Path(directory)) as hosts:
                for number in range(rounds):
                    yield from turn(name, part, subject, hosts, seconds, warm=number == 0)


@contextlib.contextmanager
def opened(part: Part, subject: Subject, models: Path) -> Iterator[dict[str, Host]]:
    """Start the part's servers."""
    with contextlib.ExitStack() as stack:
        hosts = {}
        for name in part.hosts:
            server, grpc_port = made(name, subject)
            if server.peer:
                environments.ensure(server.peer)
            rows = subject.rows.tolist()
            hosts[name] = Host(stack.enter_context(serving(server, models, subject.model, rows)), grpc_port)
        yield hosts


def turn(
    name: str, part: Part, subject: Subject, hosts: dict[str, Host], seconds: int, *, warm: bool
) -> Iterator[Row]:
    """Load every server once in each form; before the first time its answer is compared."""
    for connections in part.connections:
        for server, forms in part.hosts.items():
            for form in forms:
                request = request_of(hosts[server], form, subject)
                length = answered(hosts[server], form, subject, request)
                yield loaded(name, subject, hosts[server], form, request, connections, seconds, length, warm)


def request_of(host: Host, form: Form, subject: Subject) -> h2load.Request:
    """Return what the load sends."""
    headers, body = form.ask(subject.model, subject.tensor, subject.output, subject.rows)
    return h2load.Request(host.url(form, subject.model), headers, body, form.grpc)


def answered(host: Host, form: Form, subject: Subject, request: h2load.Request) -> int:
    """Ask once and compare the answer; return its length."""
    headers, body = call(request) if form.grpc else post(request)
    if not host.running.server.fixed:
        found = form.read(headers, body, subject.output)
        if not np.allclose(found.ravel(), subject.expected.ravel(), rtol=1e-5):
            raise Unfit(f"{host.running.server.name} answers {form.name} wrongly: {found}")
    return len(body) + h2load.MESSAGE.size * form.grpc


def post(request: h2load.Request) -> tuple[dict[str, str], bytes]:
    """Ask over HTTP."""
    answer = httpx.post(request.url, content=request.body, headers=request.headers, timeout=30)
    if answer.status_code != 200:
        raise Unfit(f"{request.url}: {answer.status_code} {answer.text[:300]}")
    return dict(answer.headers), answer.content


def call(request: h2load.Request) -> tuple[dict[str, str], bytes]:
    """Ask over gRPC; messages as they are."""
    parts = httpx.URL(request.url)
    with grpc.insecure_channel(f"{parts.host}:{parts.port}") as channel:
        ask = channel.unary_unary(parts.path, lambda body: body, lambda body: body)
        return {}, ask(request.body, timeout=30, wait_for_ready=True)


def loaded(
    part: str,
    subject: Subject,
    host: Host,
    form: Form,
    request: h2load.Request,
    connections: int,
    seconds: int,
    length: int,
    warm: bool,
) -> Row:
    """Load a server; all of its answers must be as long as the one that was compared."""
    own = host.running.processes()
    before = processes.cpu_s(own)
    load = h2load.load(request, connections, seconds, warm_up_s=int(warm))
    spent = processes.cpu_s(own)
    server = host.running.server.name
    if load.errors or load.answer_bytes < 0.98 * length:
        raise Unfit(f"{server}, {form.name}: {load.errors} errors, {load.answer_bytes} of {length} bytes")
    cpu_us = sum(spent[name] - before.get(name, 0) for name in spent) / load.requests * 1e6
    figures = (load.rps, load.p50_ms, load.p99_ms, cpu_us, load.generator_cores)
    return Row(part, subject.title, server, form.name, connections, *figures)
