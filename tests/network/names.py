"""A name server for a few names, in a thread: enough of RFC 1035 for the resolvers of C libraries."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tests.network.places import Place

A, IN = 1, 1
QUERY_END = struct.Struct(">HH")
HEAD = struct.Struct(">HHHHHH")
ANSWERED, NO_SUCH_NAME = 0x8580, 0x8583


def reply(query: bytes, known: Mapping[str, str]) -> bytes:
    """Return the answer to a query; ``*.example.org`` in ``known`` is every name below ``example.org``."""
    labels, at = [], HEAD.size
    while length := query[at]:
        labels.append(query[at + 1 : at + 1 + length].decode().lower())
        at += 1 + length
    kind, _ = QUERY_END.unpack_from(query, at + 1)
    question = query[HEAD.size : at + 1 + QUERY_END.size]
    address = known.get(".".join(labels)) or known.get(".".join(["*", *labels[1:]]))
    records = b""
    if address and kind == A:  # the name is a pointer to the question's own
        records = struct.pack(">HHHIH4s", 0xC00C, A, IN, 1, 4, socket.inet_aton(address))
    flags = ANSWERED if address else NO_SUCH_NAME
    head = HEAD.pack(int.from_bytes(query[:2]), flags, 1, bool(records), 0, 0)
    return head + question + records


@contextmanager
def answering(place: Place, address: str, known: Mapping[str, str]) -> Iterator[None]:
    """Answer for names in a place until left."""
    with place.entered():
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with server:
        server.bind((address, 53))
        thread = threading.Thread(target=_answer, args=(server, known))
        thread.start()
        try:
            yield
        finally:
            server.sendto(b"", (address, 53))
            thread.join(10)


def _answer(server: socket.socket, known: Mapping[str, str]) -> None:
    while True:
        query, asker = server.recvfrom(512)
        if not query:  # the end
            return
        server.sendto(reply(query, known), asker)
