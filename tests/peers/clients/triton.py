"""NVIDIA's client, as its users call it: HTTP by greenlets and by asyncio, gRPC by threads and by asyncio.

``way`` is one of `WAYS`. Answers and errors of the server come back as JSON; whatever else goes wrong raises.
"""

import asyncio
import inspect
import queue
import ssl
import threading
import time

import tritonclient.grpc as grpc
import tritonclient.grpc.aio as grpc_aio
import tritonclient.http as http
import tritonclient.http.aio as http_aio
from tensors import packed, unpacked
from tritonclient.utils import InferenceServerException

WAYS = {"http": http, "http-aio": http_aio, "grpc": grpc, "grpc-aio": grpc_aio}


def called(work):
    """Run what a client does, with asyncio if it is a coroutine; an error of the server is a value."""
    try:
        return asyncio.run(work()) if inspect.iscoroutinefunction(work) else work()
    except InferenceServerException as error:
        return told(error)


def told(error):
    """Return an error as the client shows it."""
    return {"error": error.message(), "status": error.status()}


def inputs_of(way, tensors):
    """Return tensors as the client takes them; ``"binary": False`` sends one as JSON, over HTTP."""
    found = []
    for tensor in tensors:
        one = WAYS[way].InferInput(tensor["name"], tensor["shape"], tensor["datatype"])
        more = {} if way.startswith("grpc") else {"binary_data": tensor.get("binary", True)}
        one.set_data_from_numpy(unpacked(tensor), **more)
        found.append(one)
    return found


def outputs_of(way, wanted):
    """Return the wanted outputs: names, or over HTTP names with whether they come raw."""
    if wanted is None:
        return None
    if way.startswith("grpc"):
        return [WAYS[way].InferRequestedOutput(name) for name in wanted]
    return [WAYS[way].InferRequestedOutput(name, binary_data=raw) for name, raw in wanted.items()]


def answer_of(way, result):
    """Return an answer: what it says of itself, and its tensors."""
    response = result.get_response(as_json=True) if way.startswith("grpc") else result.get_response()
    tensors = {}
    for output in response["outputs"]:
        name = output["name"]
        tensors[name] = packed(name, result.as_numpy(name), output["datatype"])
    said = {key: response.get(key, "") for key in ("id", "model_name", "model_version")}
    parts = {output["name"]: "data" in output or "contents" in output for output in response["outputs"]}
    return said | {"outputs": tensors, "as_json": parts}


def trusting(way, ca):
    """Return how a client is told of a server's authority, a file; "" where nothing is encrypted."""
    if not ca:
        return {}
    if way.startswith("grpc"):
        return {"ssl": True, "root_certificates": ca}
    if way == "http":
        return {"ssl": True, "ssl_options": {"ca_certs": ca}}
    return {"ssl": True, "ssl_context": ssl.create_default_context(cafile=ca)}


def infer(way, url, model, inputs, wanted=None, ca="", **options):
    """Ask for a prediction."""

    async def later():
        async with WAYS[way].InferenceServerClient(url, **trusting(way, ca)) as client:
            return answer_of(way, await client.infer(model, inputs_of(way, inputs), **more))

    def at_once():
        with WAYS[way].InferenceServerClient(url, **trusting(way, ca)) as client:
            return answer_of(way, client.infer(model, inputs_of(way, inputs), **more))

    more = {"outputs": outputs_of(way, wanted), **options}
    return called(later if way.endswith("aio") else at_once)


def ask(way, url, method, arguments=(), **options):
    """Call another method of the client, ``get_model_metadata`` for instance."""

    async def later():
        async with WAYS[way].InferenceServerClient(url) as client:
            return await getattr(client, method)(*arguments, **options)

    def at_once():
        with WAYS[way].InferenceServerClient(url) as client:
            return getattr(client, method)(*arguments, **options)

    return called(later if way.endswith("aio") else at_once)


# --- many at once ---------------------------------------------------------------------------


def greenlets(url, model, requests, concurrency):
    """Ask many over one HTTP client, by `async_infer`; answers in the order of the requests."""
    with http.InferenceServerClient(url, concurrency=concurrency) as client:
        waiting = [client.async_infer(model, inputs_of("http", one)) for one in requests]
        return [answer_of("http", one.get_result()) for one in waiting]


def threads(url, model, requests):
    """Ask many over one gRPC connection, each from a thread of its own."""
    answers = [None] * len(requests)
    with grpc.InferenceServerClient(url) as client:

        def work(place):
            answers[place] = answer_of("grpc", client.infer(model, inputs_of("grpc", requests[place])))

        workers = [threading.Thread(target=work, args=(place,)) for place in range(len(requests))]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    return answers


def callbacks(url, model, requests):
    """Ask many over one gRPC connection, by `async_infer`; answers as they came, by request id."""
    answers, done = {}, threading.Event()

    def heard(place, result, error):
        answers[place] = told(error) if error else answer_of("grpc", result)
        if len(answers) == len(requests):
            done.set()

    with grpc.InferenceServerClient(url) as client:
        for place, one in enumerate(requests):
            client.async_infer(
                model, inputs_of("grpc", one), lambda result, error, place=place: heard(place, result, error)
            )
        assert done.wait(30)
    return [answers[place] for place in range(len(requests))]


def tasks(way, url, model, requests):
    """Ask many over one client, by asyncio."""

    async def later():
        async with WAYS[way].InferenceServerClient(url) as client:
            asked = (client.infer(model, inputs_of(way, one)) for one in requests)
            return [answer_of(way, result) for result in await asyncio.gather(*asked)]

    return called(later)


# --- streams --------------------------------------------------------------------------------


def stream(url, requests, cancel_after=None):
    """Send ``[model, id, inputs]`` over one stream; return what came back, in its order.

    With ``cancel_after`` the stream is cancelled when so many have been answered.
    """
    heard, enough = [], threading.Event()

    def note(result, error):
        heard.append(told(error) if error else answer_of("grpc", result))
        if len(heard) == cancel_after:
            enough.set()

    with grpc.InferenceServerClient(url) as client:
        client.start_stream(note)
        for model, name, inputs in requests:
            client.async_stream_infer(model, inputs_of("grpc", inputs), request_id=name)
        if cancel_after is not None:
            assert enough.wait(30)
        client.stop_stream(cancel_requests=cancel_after is not None)
    return heard


def stream_aio(url, requests):
    """As `stream`, by asyncio."""

    async def asked():
        for model, name, inputs in requests:
            yield {"model_name": model, "inputs": inputs_of("grpc-aio", inputs), "request_id": name}

    async def later():
        async with grpc_aio.InferenceServerClient(url) as client:
            answers = client.stream_infer(asked())
            return [told(error) if error else answer_of("grpc", one) async for one, error in answers]

    return called(later)


# --- giving up ------------------------------------------------------------------------------


def give_up(how, urls, model, busy, inputs):
    """Ask a model that is ``busy`` with another request, and give up; return what the client says then."""
    with grpc.InferenceServerClient(urls["grpc"]) as client:
        client.async_infer(model, inputs_of("grpc", busy), lambda result, error: None)
        time.sleep(0.2)  # it has begun: nothing is told of that
        return called(
            lambda: {"cancel": cancel, "deadline": deadline, "hang up": hang_up}[how](urls, model, inputs)
        )


def cancel(urls, model, inputs):
    """Cancel a call of gRPC; return what its callback hears."""
    heard = queue.Queue()
    with grpc.InferenceServerClient(urls["grpc"]) as client:
        call = client.async_infer(
            model, inputs_of("grpc", inputs), lambda result, error: heard.put(error or AssertionError(result))
        )
        time.sleep(0.2)
        call.cancel()
        raise heard.get(timeout=10)


def deadline(urls, model, inputs):
    """Wait for a call of gRPC for less than it takes."""
    with grpc.InferenceServerClient(urls["grpc"]) as client:
        client.infer(model, inputs_of("grpc", inputs), client_timeout=0.3)


def hang_up(urls, model, inputs):
    """Wait for an answer over HTTP for less than it takes; the client closes the connection."""
    with http.InferenceServerClient(urls["http"], network_timeout=0.3) as client:
        try:
            client.infer(model, inputs_of("http", inputs))
        except TimeoutError as error:
            return {"error": str(error), "status": "timeout"}


# --- one moment -----------------------------------------------------------------------------


def together(asked):
    """Send ``[way, url, model, inputs]`` each, all at once, by asyncio; return the answers."""

    async def one(way, url, model, inputs):
        async with WAYS[way].InferenceServerClient(url) as client:
            return answer_of(way, await client.infer(model, inputs_of(way, inputs)))

    async def later():
        return await asyncio.gather(*(one(*words) for words in asked))

    return asyncio.run(later())
