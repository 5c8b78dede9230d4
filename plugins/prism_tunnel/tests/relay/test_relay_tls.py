"""A relay with certificates, a relay behind a proxy, and one that serves paths."""

import asyncio
import datetime
import ipaddress
import ssl

import attrs
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from prism_core.plugin import ConfigError, PublicListener
from prism_tunnel.relay.certificates import Certificate
from prism_tunnel.relay.linker import RelayLinker

NOW = datetime.datetime.now(datetime.UTC)


def write_pair(directory, serial):
    """Write a certificate for all names of links.test, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "links.test")])
    names = x509.SubjectAlternativeName([x509.DNSName("links.test"), x509.DNSName("*.links.test")])
    made = x509.CertificateBuilder(name, name, key.public_key(), serial, NOW, NOW + datetime.timedelta(1), [])
    made = made.add_extension(names, critical=False).sign(key, hashes.SHA256())
    (directory / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (directory / "key.pem").write_bytes(text)


@pytest.fixture
def pair(tmp_path):
    write_pair(tmp_path, 1)
    return tmp_path / "cert.pem", tmp_path / "key.pem"


class TestWithTls:
    """Visitors come by https; who comes by http is told so."""

    @pytest.fixture
    def settings(self, settings, pair):
        return attrs.evolve(settings, https_port=0, cert=pair[0], key=pair[1])

    async def visit(self, relay, name="ann"):
        context = ssl.create_default_context(cafile=relay.place.directory.parent / "cert.pem")
        where = {"ssl": context, "server_hostname": f"{name}.links.test"}
        return await asyncio.open_connection("127.0.0.1", relay.open.https_port, **where)

    async def test_names_are_reached_by_https(self, relay, echo):
        linker = RelayLinker(relay.join("ann"))
        url = await linker.publish(PublicListener("127.0.0.1", echo))
        reader, writer = await self.visit(relay)
        writer.write(b"GET /s/x HTTP/1.1\r\nHost: ann.links.test\r\nConnection: close\r\n\r\n")
        said = await reader.read()
        writer.close()
        await linker.withdraw()

        assert url == f"https://ann.links.test:{relay.open.https_port}"
        assert b"GET /s/x HTTP/1.1" in said
        assert b"x-forwarded-proto: https" in said

    async def test_http_leads_to_https(self, relay, echo):
        async with relay.published(echo):
            status, head, _ = await relay.ask("/s/x?y=1")
            strange, _, _ = await relay.ask(name="evil.example.org#")

        assert status == 308
        assert (
            f"location: https://ann.links.test:{relay.open.https_port}/s/x?y=1\r\n".encode() in head + b"\r\n"
        )
        assert strange == 404

    async def test_a_renewed_certificate_is_used_for_new_connections(self, relay, tmp_path):
        def serial(writer):
            return x509.load_der_x509_certificate(
                writer.get_extra_info("ssl_object").getpeercert(True)
            ).serial_number

        _, old = await self.visit(relay)
        write_pair(tmp_path, 2)
        async with asyncio.timeout(10):
            while True:
                try:
                    _, new = await self.visit(relay)
                    break
                except ssl.SSLError:  # it still shows the old one, which is trusted no more
                    await asyncio.sleep(0.1)

        assert (serial(old), serial(new)) == (1, 2)
        old.close()
        new.close()

    async def test_a_pair_that_cannot_be_used_is_not_used(self, pair, tmp_path):
        certificate = Certificate.load(*pair)
        (tmp_path / "key.pem").write_text("nonsense")
        certificate.look()
        certificate.look()

        with pytest.raises(ConfigError, match="cannot be used"):
            Certificate.load(*pair)


class TestBehindAProxy:
    """Which tells for whom it asks, and how."""

    @pytest.fixture
    def settings(self, settings):
        proxies = (ipaddress.ip_network("127.0.0.0/8"),)
        return attrs.evolve(settings, public="https://links.test/", proxies=proxies)

    async def test_it_is_believed(self, relay, echo):
        headers = (
            "X-Forwarded-For: 198.51.100.9, 203.0.113.7, 127.0.0.2\r\n"
            "X-Forwarded-Proto: https\r\nX-Forwarded-Host: ann.links.test\r\n"
        )
        async with relay.published(echo) as linker:
            _, _, body = await relay.ask(headers=headers)
            url = await linker.publish(PublicListener("127.0.0.1", echo))

        assert b"x-forwarded-for: 203.0.113.7\r\n" in body
        assert b"x-forwarded-proto: https\r\n" in body
        assert url == "https://ann.links.test"


class TestWithPaths:
    """Names as the first part of a path, for clients that trust each other."""

    @pytest.fixture
    def settings(self, settings):
        return attrs.evolve(settings, paths=True)

    async def ask(self, relay, path, host="links.test"):
        reader, writer = await relay.visit()
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        said = await reader.read()
        writer.close()
        return said

    async def test_the_path_says_whom_it_is_for(self, relay, echo):
        linker = RelayLinker(relay.join("ann"))
        url = await linker.publish(PublicListener("127.0.0.1", echo))
        said = await self.ask(relay, "/ann/s/x?y=/bob/")
        await linker.withdraw()

        assert url == f"http://links.test:{relay.open.http_port}/ann"
        assert b"\r\n\r\nGET /s/x?y=/bob/ HTTP/1.1\r\n" in said
        assert b"x-forwarded-prefix: /ann\r\n" in said

    @pytest.mark.parametrize("path", ["/", "/bob/", "/../ann/", "//ann/", "/ANN/", "/%61nn/"])
    async def test_what_names_nobody_is_not_found(self, relay, echo, path):
        async with relay.published(echo):
            assert (await self.ask(relay, path)).startswith(b"HTTP/1.1 404 ")

    async def test_answers_stay_below_it(self, relay):
        async def redirecting(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(
                b"HTTP/1.1 303 See Other\r\nLocation: /s/x\r\nContent-Length: 0\r\n"
                b"Set-Cookie: a=b; HttpOnly; Path=/s/x; SameSite=Lax\r\n\r\n"
            )

        async with relay.serving(redirecting) as port, relay.published(port):
            said = await self.ask(relay, "/ann/s/x")

        assert b"location: /ann/s/x\r\n" in said
        assert b"set-cookie: a=b; HttpOnly; Path=/ann/s/x; SameSite=Lax\r\n" in said
