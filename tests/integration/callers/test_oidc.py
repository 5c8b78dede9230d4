"""Tokens of identity providers: a real one in a process of its own, and one that does as it is told."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import attrs
import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from prism_core.errors import IdentityUnavailable, Unauthorized
from prism_core.gateway.callers import provider as module
from prism_core.gateway.callers.tokens import open_tokens
from prism_core.settings import OidcSettings
from prism_core.testing.server import ServerProcess
from tests.integration.callers.conftest import bearer, predict, predict_slowly
from tests.integration.gateways.conftest import to_each

CALLBACK = "https://app.test/callback"


# --- a real identity provider -------------------------------------------------------------------


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


@pytest.fixture(scope="module")
def real():
    """Run an OpenID provider; yield its issuer."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "--port", str(port), "--user", "ann"],
        stderr=subprocess.DEVNULL,
    )
    issuer = f"http://127.0.0.1:{port}"
    try:
        while True:
            assert process.poll() is None
            try:
                httpx.get(f"{issuer}/.well-known/openid-configuration", trust_env=False)
                break
            except httpx.TransportError:
                time.sleep(0.05)
        yield issuer
    finally:
        process.terminate()
        process.wait(10)


def signed_in(issuer: str, audience: str) -> dict:
    """Sign in as ann, in the way of a web application; return what the provider's token endpoint answers."""
    with httpx.Client(base_url=issuer, trust_env=False, timeout=30) as client:
        asked = {"client_id": audience, "redirect_uri": CALLBACK, "response_type": "code", "scope": "openid"}
        back = client.post("/oauth2/authorize", params=asked, data={"sub": "ann"}).headers["location"]
        (code,) = parse_qs(urlsplit(back).query)["code"]
        given = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK}
        return client.post("/oauth2/token", data=given, auth=(audience, "secret")).json()


@pytest.fixture(scope="module")
def server(tmp_path_factory, models, real):
    """Two gateways that believe the real provider."""
    data = tmp_path_factory.mktemp("oidc") / "data"
    config = f"oidc: {{issuer: {real}, audience: [prism]}}"
    with ServerProcess(data, "--auth", "oidc", "--gateways", "2", config=config) as server:
        server.upload(models / "2.pkl", "--name", "m")
        yield server


def test_who_signed_in_at_the_provider_predicts_in_every_gateway(server, real):
    token = signed_in(real, "prism")["id_token"]
    with to_each(server) as clients:
        for client in clients.values():
            assert predict(client, token).json()["predictions"] == [2.0]
            assert predict_slowly(client, token).json()["predictions"] == [2.0]
            assert client.get("/model/m", headers=bearer(token)).status_code == 200
            assert client.get("/v1/models", headers=bearer(token)).json() == {"models": ["m"]}


def test_everybody_else_is_refused(server, real):
    answered = signed_in(real, "prism")
    header, claims, signature = answered["id_token"].split(".")
    shown = {
        "nothing": "",
        "a token for another application": signed_in(real, "mail")["id_token"],
        "a token that is no JWT": answered["access_token"],
        "a changed token": f"{header}.{claims[:-4]}AAAA.{signature}",
        "a key": server.json("keys", "create")["key"],
    }
    with to_each(server) as clients:
        for client in clients.values():
            for ask in (predict, predict_slowly):
                told = {how: ask(client, token).status_code for how, token in shown.items()}
                assert told == dict.fromkeys(shown, 401)
            assert client.get("/model/m").status_code == 401
            assert client.get("/health/live").status_code == 200


# --- one that does as it is told ----------------------------------------------------------------


@attrs.define
class Provider:
    """Publishes keys over HTTP; ``answers`` replace what it says at a path: status, headers, body."""

    keys: list = attrs.field(factory=lambda: [ECKey.generate_key("P-256", {"kid": "one"})])
    answers: dict = attrs.field(factory=dict)
    asked: list = attrs.field(factory=list)
    issuer: str = ""

    def answer(self, path: str) -> tuple[int, dict, bytes]:
        self.asked.append(path)
        told = {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"}
        body = KeySet(self.keys).as_dict(private=False) if path == "/keys" else told
        return self.answers.get(path) or (200, {}, json.dumps(body).encode())

    def settings(self, **changes) -> OidcSettings:
        values = {"issuer": self.issuer, "audience": ("prism",)} | changes
        return OidcSettings(**values)

    def token(self, key=None) -> dict[str, str]:
        key, now = key or self.keys[0], int(time.time())
        claims = {"iss": self.issuer, "aud": "prism", "sub": "ann", "exp": now + 60}
        return {"authorization": f"Bearer {jwt.encode({'alg': 'ES256', 'kid': key.kid}, claims, key)}"}


@contextmanager
def serving(provider: Provider, port: int = 0):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, headers, body = provider.answer(self.path)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        provider.issuer = f"http://127.0.0.1:{http.server_port}"
        try:
            yield provider
        finally:
            http.shutdown()
            thread.join()


@pytest.fixture
def provider():
    with serving(Provider()) as provider:
        yield provider


async def test_the_keys_are_found_by_discovery(provider):
    async with open_tokens(provider.settings()) as identity:
        assert identity.of(provider.token()).id == "oidc:ann"
    assert provider.asked == ["/.well-known/openid-configuration", "/keys"]


async def test_or_where_the_settings_say(provider):
    async with open_tokens(provider.settings(jwks_url=f"{provider.issuer}/keys")) as identity:
        assert identity.of(provider.token()).id == "oidc:ann"
    assert provider.asked == ["/keys"]


FALSE = {
    "another issuer": ("/.well-known/openid-configuration", 200, {}, b'{"issuer": "https://evil.test"}'),
    "keys over plain http": (
        "/.well-known/openid-configuration",
        200,
        {},
        b'{"issuer": "ISSUER", "jwks_uri": "http://evil.test/keys"}',
    ),
    "elsewhere": ("/keys", 302, {"Location": "https://evil.test/keys"}, b""),
    "an error": ("/keys", 500, {}, b""),
    "no JSON": ("/keys", 200, {}, b"<html>"),
    "a list": ("/keys", 200, {}, b"[]"),
    "no end": ("/keys", 200, {}, b" " * (module.MAX_ANSWER_BYTES + 1)),
    "half an answer": ("/keys", 200, {"Content-Length": "100000"}, b'{"keys": ['),
}


@pytest.mark.parametrize("how", FALSE)
async def test_a_false_answer_brings_no_keys_and_takes_none(provider, how):
    path, status, headers, body = FALSE[how]
    async with open_tokens(provider.settings()) as identity:
        token = provider.token()
        provider.answers[path] = (status, headers, body.replace(b"ISSUER", provider.issuer.encode()))
        await identity._provider.refresh()

        assert identity._provider.pause_s() < module.REFRESH_S
        assert identity.of(token).id == "oidc:ann"
    async with open_tokens(provider.settings()) as identity:
        with pytest.raises(IdentityUnavailable):
            identity.of(token)


async def test_a_provider_that_is_down_at_the_start_is_asked_again(provider, monkeypatch):
    monkeypatch.setattr(module, "MOST_PAUSE_S", 0.01)
    provider.answers["/keys"] = (503, {}, b"")
    async with open_tokens(provider.settings()) as identity:
        with pytest.raises(IdentityUnavailable) as told:
            identity.of(provider.token())
        assert told.value.details == {"retry_after_s": 1}
        provider.answers.clear()
        await until_known(identity)

        assert identity.of(provider.token()).id == "oidc:ann"


async def test_keys_are_rotated(provider, monkeypatch):
    monkeypatch.setattr(module, "COOL_DOWN_S", 0.0)
    async with open_tokens(provider.settings()) as identity:
        old = provider.token()
        assert identity.of(old).id == "oidc:ann"
        provider.keys = [ECKey.generate_key("P-256", {"kid": "two"})]
        with pytest.raises(IdentityUnavailable):
            identity.of(provider.token())
        await until_known(identity, "two")

        assert identity.of(provider.token()).id == "oidc:ann"
        with pytest.raises((Unauthorized, IdentityUnavailable)):
            identity.of(old)


async def until_known(identity, key_id: str = "one") -> None:
    async with asyncio.timeout(10):
        while key_id not in identity._provider.keys:
            await asyncio.sleep(0.01)


@pytest.mark.sweep  # the provider is asked again after 2, 4 and 8 seconds
def test_a_server_goes_on_while_its_provider_is_gone_and_starts_without_it(tmp_path, models):
    provider, port = Provider(), free_port()
    config = f"oidc: {{issuer: 'http://127.0.0.1:{port}', audience: [prism]}}"
    data = tmp_path / "data"
    with (
        ServerProcess(data, "--auth", "oidc", config=config) as server,
        httpx.Client(base_url=server.url, timeout=30) as client,
    ):
        server.upload(models / "2.pkl", "--name", "m")
        provider.issuer = f"http://127.0.0.1:{port}"
        unknown = client.get("/model/m", headers=provider.token())
        assert (unknown.status_code, unknown.json()["code"]) == (503, "identity_unavailable")
        assert unknown.headers["retry-after"] == "1"
        with serving(provider, port):
            while client.get("/model/m", headers=provider.token()).status_code == 503:
                time.sleep(0.1)
        assert client.get("/model/m", headers=provider.token()).status_code == 200
        stranger = ECKey.generate_key("P-256", {"kid": "one"})
        assert client.get("/model/m", headers=provider.token(stranger)).status_code == 401
