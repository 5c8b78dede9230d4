"""Where the public listener is encrypted gRPC is too, with the same files, also when they have changed."""

import asyncio
import subprocess

import grpc
import grpc.aio
import pytest

from prism_core.plugin import Surroundings
from prism_oip.rpc import oip_pb2 as pb
from prism_oip.rpc.config import GrpcConfig


def certify(cert, key, *signed):
    """Write a certificate for 127.0.0.1 and its key; without ``signed`` it signs itself."""
    command = (
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    )
    names = ("-days", "3", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1")
    files = ("-keyout", key, "-out", cert, *signed)
    subprocess.run([*command, *names, *files], check=True, capture_output=True)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Return a directory with two certificates that sign themselves, and one of a client."""
    directory = tmp_path_factory.mktemp("tls")
    for name in ("first", "second", "authority"):
        certify(directory / f"{name}.pem", directory / f"{name}.key")
    signed = ("-CA", directory / "authority.pem", "-CAkey", directory / "authority.key")
    certify(directory / "client.pem", directory / "client.key", *signed)
    return directory


def around(files, **more):
    cert, key = files / "cert.pem", files / "key.pem"
    return Surroundings("127.0.0.1", 8000, tls_cert=str(cert), tls_key=str(key), **more)


def install(files, name):
    (files / "cert.pem").write_bytes((files / f"{name}.pem").read_bytes())
    (files / "key.pem").write_bytes((files / f"{name}.key").read_bytes())


async def live(face, new_client, trusted, own=()):
    """Ask over a connection of its own whether the server is live."""
    credentials = grpc.ssl_channel_credentials(trusted.read_bytes(), *(path.read_bytes() for path in own))
    options = (("grpc.use_local_subchannel_pool", 1),)
    target = face.url.removeprefix("grpcs://")
    async with grpc.aio.secure_channel(target, credentials, options=options) as channel:
        answer = await new_client(channel).ServerLive(pb.ServerLiveRequest(), timeout=10)
        return answer.live


async def test_new_files_are_for_new_connections(files, toy_host, new_client):
    from prism_oip.rpc.face import serving

    install(files, "first")
    host = toy_host(None, surroundings=around(files))
    async with serving(GrpcConfig(0), host) as face, asyncio.timeout(30):
        assert await live(face, new_client, files / "first.pem")

        install(files, "second")
        assert await live(face, new_client, files / "second.pem")
        with pytest.raises(grpc.aio.AioRpcError, match="CERTIFICATE_VERIFY_FAILED"):
            await live(face, new_client, files / "first.pem")


async def test_files_that_cannot_be_used_change_nothing(files, toy_host, new_client):
    from prism_oip.rpc.face import serving

    install(files, "first")
    host = toy_host(None, surroundings=around(files))
    async with serving(GrpcConfig(0), host) as face, asyncio.timeout(30):
        (files / "cert.pem").write_bytes((files / "second.pem").read_bytes())  # without its key
        assert await live(face, new_client, files / "first.pem")

        (files / "cert.pem").unlink()
        assert await live(face, new_client, files / "first.pem")

        install(files, "second")
        assert await live(face, new_client, files / "second.pem")


async def test_clients_need_a_certificate_where_it_is_asked_for(files, toy_host, new_client):
    from prism_oip.rpc.face import serving

    install(files, "first")
    host = toy_host(None, surroundings=around(files, client_ca=str(files / "authority.pem")))
    async with serving(GrpcConfig(0), host) as face, asyncio.timeout(30):
        own = (files / "client.key", files / "client.pem")
        assert await live(face, new_client, files / "first.pem", own)

        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await live(face, new_client, files / "first.pem")
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
