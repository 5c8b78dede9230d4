"""A server that keeps every clause, as a function from a request to an answer; and the same over HTTP.

Its model takes numbers and a text, and gives both back, the numbers doubled. What a test changes in an
answer is what is wrong with the server.
"""

from __future__ import annotations

import gzip
import json
import re
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import attrs

from prism_oip.conformance.exchange import Answer, Request, Unmet
from prism_oip.conformance.judging import HEADER, field, of_kind, parsed, spec_of
from prism_oip.conformance.subject import Model, Subject
from prism_oip.conformance.tensors import Spec, Tensor, from_list, from_raw, made

EXTENSIONS = ("binary_tensor_data", "model_configuration", "model_repository", "parameters", "statistics")
INPUTS = (Spec("x", "FP32", (-1, 3)), Spec("t", "BYTES", (-1, 1)))
OUTPUTS = (Spec("y", "FP32", (-1, 3)), Spec("u", "BYTES", (-1, 1)))
MODEL = Model("twice", ("1", "2"), INPUTS, OUTPUTS)


class Refused(Exception):
    """A request is wrong."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def told(spec: Spec) -> dict[str, object]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)}


@attrs.define
class Honest:
    """The server; ``model`` is what it has."""

    model: Model = MODEL
    successes: int = 0
    loaded: bool = True

    def __call__(self, request: Request) -> Answer:
        try:
            for pattern, method, answer in self.routes():
                if match := re.fullmatch(pattern, request.path):
                    if request.method != method:
                        raise Refused(405, "another method is meant")
                    return answer(request, **match.groupdict())
            raise Refused(404, "there is no such path")
        except Refused as refused:
            return as_json({"error": str(refused)}, refused.status)
        except Unmet as unmet:
            return as_json({"error": f"{unmet.expected}, not {unmet.found}"}, 400)

    def routes(self) -> tuple[tuple[str, str, Callable[..., Answer]], ...]:
        model = r"v2/models/(?P<name>[^/]+)(/versions/(?P<version>[^/]+))?"
        return (
            (r"v2", "GET", self.metadata),
            (r"v2/health/live", "GET", lambda _: as_json({"live": True})),
            (r"v2/health/ready", "GET", lambda _: as_json({"ready": True})),
            (r"v2/models/stats", "GET", lambda _: as_json(self.stats(self.model.versions))),
            (r"v2/repository/index", "POST", self.index),
            (r"v2/repository/models/(?P<name>[^/]+)/(?P<verb>load|unload)", "POST", self.bring),
            (model, "GET", self.described),
            (f"{model}/ready", "GET", self.ready),
            (f"{model}/stats", "GET", self.of_version),
            (f"{model}/config", "GET", self.config),
            (f"{model}/infer", "POST", self.infer),
        )

    def metadata(self, request: Request) -> Answer:
        return as_json({"name": "honest", "version": "1", "extensions": list(EXTENSIONS)})

    def index(self, request: Request) -> Answer:
        entries = [{"name": self.model.name, "version": "1", "state": "READY", "reason": ""}]
        if not json.loads(request.body or b"{}").get("ready"):
            entries.append({"name": "broken", "version": "1", "state": "UNAVAILABLE", "reason": "it is"})
        return as_json(entries)

    def bring(self, request: Request, name: str, verb: str) -> Answer:
        self.found(name, None)
        self.loaded = verb == "load"
        return Answer(200)

    def found(self, name: str, version: str | None) -> str:
        if name != self.model.name or (version or "2") not in self.model.versions:
            raise Refused(404, "there is no such model")
        return version or "2"

    def described(self, request: Request, name: str, version: str | None) -> Answer:
        self.found(name, version)
        sides = {side: [told(spec) for spec in getattr(self.model, side)] for side in ("inputs", "outputs")}
        return as_json({"name": name, "versions": list(self.model.versions), "platform": "kit", **sides})

    def ready(self, request: Request, name: str, version: str | None) -> Answer:
        self.found(name, version)
        if not self.loaded:
            raise Refused(400, "it is not loaded")
        return as_json({"name": name, "ready": True})

    def of_version(self, request: Request, name: str, version: str | None) -> Answer:
        self.found(name, version)
        return as_json(self.stats((version,) if version else self.model.versions))

    def stats(self, versions: tuple[str, ...]) -> dict[str, object]:
        time = {"count": self.successes, "ns": 1000 * self.successes}
        parts = {f"compute_{part}": time for part in ("input", "infer", "output")}
        common = {
            "last_inference": 1, "inference_count": self.successes, "execution_count": self.successes,
            "inference_stats": {"success": time, "fail": time, "queue": time, **parts},
            "batch_stats": [{"batch_size": 1, **parts}],
        }  # fmt: skip
        return {"model_stats": [{"name": self.model.name, "version": one, **common} for one in versions]}

    def config(self, request: Request, name: str, version: str | None) -> Answer:
        self.found(name, version)
        types = {"FP32": "TYPE_FP32", "BYTES": "TYPE_STRING"}
        sides = {
            side[:-1]: [{"name": s.name, "data_type": types[s.datatype]} for s in getattr(self.model, side)]
            for side in ("inputs", "outputs")
        }
        return as_json({"name": name, "max_batch_size": 8, **sides})

    def infer(self, request: Request, name: str, version: str | None) -> Answer:
        version = self.found(name, version)
        if not self.loaded:
            raise Refused(400, "it is not loaded")
        asked, inputs = self.read(request)
        x = inputs["x"]
        outputs = [Tensor("y", x.datatype, x.values * 2)]
        if "t" in inputs:
            outputs.append(Tensor("u", "BYTES", inputs["t"].values))
        answer = written(asked, outputs, {"model_name": name, "model_version": version})
        self.successes += 1
        return packed(answer, request.headers.get("Accept-Encoding", "identity"))

    def read(self, request: Request) -> tuple[dict[str, object], dict[str, Tensor]]:
        body = unpacked(request)
        size = request.headers.get(HEADER, str(len(body)))
        if not (size.isdigit() and int(size) <= len(body)):
            raise Refused(400, "the header lies")
        if size == "0":
            spec = self.model.inputs[0]
            raw = from_raw(spec.name, spec.datatype, (1, *spec.shape[1:]), body)
            return {"parameters": {"binary_data_output": True}}, {raw.name: raw}
        asked, tail = of_kind(parsed(body[: int(size)]), dict, "the body"), body[int(size) :]
        inputs: dict[str, Tensor] = {}
        for one in field(asked, "inputs", list):
            spec = spec_of(of_kind(one, dict, "an input"))
            taken = (one.get("parameters") or {}).get("binary_data_size")
            if taken is None:
                inputs[spec.name] = from_list(spec.name, spec.datatype, spec.shape, field(one, "data", list))
            else:
                if not 0 <= taken <= len(tail):
                    raise Refused(400, "there are not so many bytes")
                inputs[spec.name] = from_raw(spec.name, spec.datatype, spec.shape, tail[:taken])
                tail = tail[taken:]
        if tail:
            raise Refused(400, "there are too many bytes")
        self.judge(asked, inputs)
        return asked, inputs

    def judge(self, asked: dict[str, object], inputs: dict[str, Tensor]) -> None:
        specs = {spec.name: spec for spec in self.model.inputs}
        if set(inputs) != set(specs):
            raise Refused(400, f"inputs are {sorted(specs)}")
        for one in inputs.values():
            spec = specs[one.name]
            if spec.datatype != one.datatype or spec.shape[1:] != one.shape[1:]:
                raise Refused(400, f"{one.name} is {spec}")
        known = {spec.name for spec in self.model.outputs}
        if any(one["name"] not in known for one in asked.get("outputs") or ()):
            raise Refused(400, f"outputs are {sorted(known)}")


def written(asked: dict, outputs: list[Tensor], head: dict[str, str]) -> Answer:
    wanted = {one["name"]: one.get("parameters") or {} for one in asked.get("outputs") or ()}
    of_all = (asked.get("parameters") or {}).get("binary_data_output", False)
    if "id" in asked:
        head["id"] = asked["id"]
    entries, tail = [], b""
    for one in outputs:
        if wanted and one.name not in wanted:
            continue
        entry = {"name": one.name, "datatype": one.datatype, "shape": list(one.shape)}
        if wanted.get(one.name, {}).get("binary_data", of_all):
            entry["parameters"] = {"binary_data_size": len(one.raw())}
            tail += one.raw()
        else:
            entry["data"] = one.listed()
        entries.append(entry)
    text = json.dumps({**head, "outputs": entries}).encode()
    if not tail:
        return Answer(200, {"content-type": "application/json"}, text)
    lines = {"content-type": "application/octet-stream", HEADER: str(len(text))}
    return Answer(200, lines, text + tail)


def unpacked(request: Request) -> bytes:
    encoding = request.headers.get("Content-Encoding", "identity")
    try:
        if encoding == "identity":
            return request.body
        if encoding == "gzip":
            return gzip.decompress(request.body)
        if encoding == "deflate":
            return zlib.decompress(request.body)
    except (OSError, EOFError, zlib.error):
        raise Refused(400, "it cannot be unpacked") from None
    raise Refused(415, "nobody knows this packing")


def packed(answer: Answer, encoding: str) -> Answer:
    pack = {"gzip": gzip.compress, "deflate": zlib.compress}.get(encoding)
    if pack is None:
        return answer
    return Answer(answer.status, {**answer.headers, "content-encoding": encoding}, pack(answer.body))


def as_json(value: object, status: int = 200) -> Answer:
    return Answer(status, {"content-type": "application/json"}, json.dumps(value).encode())


def subject(model: Model = MODEL, **more) -> Subject:
    """Return what is known of the server, as discovery finds it."""
    inputs = tuple(made(spec) for spec in model.inputs)
    first, *rest = inputs
    outputs = [Tensor("y", first.datatype, first.values * 2), *(Tensor("u", "BYTES", t.values) for t in rest)]
    common = {"extensions": frozenset(EXTENSIONS), "models": (model.name,), "write": True}
    return Subject(**{**common, "model": model, "inputs": inputs, "outputs": tuple(outputs), **more})


@contextmanager
def serving(answer: Callable[[BaseHTTPRequestHandler, bytes], None]) -> Iterator[str]:
    """Serve HTTP; ``answer`` writes what comes back, whatever it is. Gives the URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            answer(self, self.rfile.read(int(self.headers.get("Content-Length", 0))))

        do_POST = do_GET

        def log_message(self, *words):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def over_http(server: Callable[[Request], Answer]) -> Callable[[BaseHTTPRequestHandler, bytes], None]:
    """Return what answers over HTTP as a function does."""
    names = ("Content-Encoding", "Accept-Encoding", "Inference-Header-Content-Length")

    def answer(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        headers = {name: handler.headers[name] for name in names if name in handler.headers}
        if "Inference-Header-Content-Length" in headers:
            headers[HEADER] = headers.pop("Inference-Header-Content-Length")
        came = server(Request(handler.command, handler.path.lstrip("/"), headers, body))
        handler.send_response(came.status)
        for name, value in came.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(came.body)))
        handler.end_headers()
        handler.wfile.write(came.body)

    return answer
