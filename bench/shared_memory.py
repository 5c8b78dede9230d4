"""What handing a body over costs: a Unix socket against memory shared by descriptor.

    .venv/bin/python bench/shared_memory.py

One process has a body and another reads all of it, as gateway and runtime do. By *socket* it
is written, and received into fresh memory; by *memfd* it is written into an anonymous file
whose descriptor is passed, mapped and read there. Prints medians in ms.
"""

from __future__ import annotations

import array
import mmap
import os
import socket
import statistics
import time

import numpy as np

SIZES = {602_112: 300, 8 * 1024 * 1024: 60}
PAGE = 4096


def receive_by_socket(peer: socket.socket, size: int) -> np.ndarray:
    body = np.empty(size, np.uint8)
    at = 0
    while at < size:
        at += peer.recv_into(body.data[at:])
    return body


def receive_by_memfd(peer: socket.socket, size: int) -> np.ndarray:
    _, ancillary, _, _ = peer.recvmsg(8, socket.CMSG_SPACE(4))
    (descriptor,) = array.array("i", ancillary[0][2])
    body = np.frombuffer(mmap.mmap(descriptor, size, prot=mmap.PROT_READ), np.uint8)
    os.close(descriptor)
    return body


def send_by_socket(peer: socket.socket, body: memoryview) -> None:
    peer.sendall(body)


def send_by_memfd(peer: socket.socket, body: memoryview) -> None:
    descriptor = os.memfd_create("body")
    at = 0
    while at < len(body):
        at += os.write(descriptor, body[at:])
    peer.sendmsg([b"x" * 8], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))])
    os.close(descriptor)


WAYS = {"socket": (send_by_socket, receive_by_socket), "memfd": (send_by_memfd, receive_by_memfd)}


def measure(way: str, size: int, times: int) -> float:
    send, receive = WAYS[way]
    body = np.random.default_rng(0).integers(0, 255, size, dtype=np.uint8)
    gateway, runtime = socket.socketpair()
    child = os.fork()
    if not child:
        gateway.close()
        for _ in range(times):
            touched = int(receive(runtime, size)[::PAGE].sum())
            runtime.sendall(touched.to_bytes(8, "little"))
        os._exit(0)
    runtime.close()
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        send(gateway, body.data)
        gateway.recv(8)
        taken.append((time.perf_counter() - begun) * 1000)
    os.waitpid(child, 0)
    return statistics.median(taken)


if __name__ == "__main__":
    for size, times in SIZES.items():
        for way in WAYS:
            print(f"{size:>10,} bytes by {way:7} {measure(way, size, times):7.3f} ms", flush=True)
