"""The bare hop: moving a body through two processes, and nothing else: ``hop.py PORT BYTES [MODEL]``.

As in PRISM the first process takes a body from TCP and sends it over a Unix socket to the second, which has
it in one piece of memory. That one reads every page of it, or asks the ONNX graph ``MODEL``, and answers ten
numbers. Blocking sockets and a thread a connection in each, which costs less than an event loop; one
write a body. Of HTTP there is just enough to be loaded by the same client: all heads of a connection
are as long as its first one, all bodies have ``BYTES``.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
import threading

import numpy as np

PAGE = 4096
MAX_ANSWER_BYTES = 4096


def fill(peer, view):
    """Receive until ``view`` is full; False where the peer has gone."""
    at = 0
    while at < len(view):
        if not (got := peer.recv_into(view[at:])):
            return False
        at += got
    return True


def reader(model):
    """Return what the second process does with a body."""
    if not model:
        return lambda body: [int(body[::PAGE].sum())] * 10
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    (only,) = session.get_inputs()
    shape = (-1, *only.shape[1:])
    return lambda body: session.run(None, {only.name: body.view(np.float32).reshape(shape)})[0].tolist()


def compute(peer, size, read):
    """Be the second process for one connection: fresh memory for each body, as a model may keep it."""
    while True:
        body = np.empty(size, np.uint8)
        if not fill(peer, body.data):
            return
        peer.sendall(json.dumps({"predictions": read(body)}).encode())


def carry(client, model, size):
    """Be the first process for one connection."""
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    begun = client.recv(MAX_ANSWER_BYTES)
    head = begun.index(b"\r\n\r\n") + 4
    body, at = np.empty(head + size, np.uint8), len(begun)
    body[:at] = np.frombuffer(begun, np.uint8)
    while fill(client, body.data[at:]):
        model.sendall(body.data[head:])
        answer = model.recv(MAX_ANSWER_BYTES)
        client.sendall(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
            % (len(answer), answer)
        )
        body, at = np.empty(head + size, np.uint8), 0


def accept(listener, serve):
    """Serve each connection in a thread."""
    while True:
        peer, _ = listener.accept()
        threading.Thread(target=serve, args=(peer,), daemon=True).start()


def main(port, size, model=""):
    """Start the second process and be the first; the second ends with the first's directory."""
    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/s"
        behind = socket.socket(socket.AF_UNIX)
        behind.bind(path)
        behind.listen()
        if not os.fork():
            read = reader(model)
            accept(behind, lambda peer: compute(peer, size, read))

        def serve(client):
            with client, socket.socket(socket.AF_UNIX) as model:
                model.connect(path)
                carry(client, model, size)

        accept(socket.create_server(("127.0.0.1", port)), serve)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
