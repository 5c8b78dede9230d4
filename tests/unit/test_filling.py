"""A large body leaves over a Unix socket in one write; TCP finds its own measure."""

import asyncio
import socket

from prism_core.filling import make_room


class Transport(asyncio.Transport):
    def __init__(self, ours):
        self._ours = ours

    def get_extra_info(self, name, default=None):
        return self._ours if name == "socket" else default


def room_of(ours):
    return ours.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)


def test_a_unix_socket_gets_room():
    one, other = socket.socketpair(socket.AF_UNIX)
    with one, other:
        usual = room_of(one)
        make_room(Transport(one))

        assert room_of(one) > usual
        assert room_of(other) == usual


def test_tcp_is_left_alone():
    with socket.socket(socket.AF_INET) as tcp:
        usual = room_of(tcp)
        make_room(Transport(tcp))

        assert room_of(tcp) == usual


def test_a_transport_without_a_socket_is_fine():
    make_room(Transport(None))
