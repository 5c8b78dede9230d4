"""What an SSH client may do at a relay: publish its names. OpenSSH's may, and nobody may more."""

import asyncio
import os
import shutil
import subprocess

import asyncssh
import pytest

from prism_tunnel.relay import clients
from prism_tunnel.relay.publishers import MOST_OF_ONE


@pytest.fixture
async def published(relay):
    """Run OpenSSH's client so that it publishes a port; return what it takes."""
    if not shutil.which("ssh"):
        pytest.skip("OpenSSH's client is not installed; apt-get install openssh-client")
    processes = []

    async def run(port, *flags, user="ann", name="ann", wait=True, **options):
        known = relay.place.directory / "known_hosts"
        key = relay.place.key().export_public_key().decode()
        known.write_text(f"[127.0.0.1]:{relay.open.ssh_port} {key}")
        words = ["ssh", "-N", "-F", "none", "-o", f"UserKnownHostsFile={known}",
                 "-o", "StrictHostKeyChecking=yes", "-o", "ExitOnForwardFailure=yes", *flags,
                 "-p", str(relay.open.ssh_port), "-R", f"{name}:80:127.0.0.1:{port}",
                 f"{user}@127.0.0.1"]  # fmt: skip
        found = await asyncio.create_subprocess_exec(*words, stderr=subprocess.PIPE, **options)
        processes.append(found)
        if wait:
            await relay.settled(lambda: relay.hall.table.find(name))
        return found

    yield run
    for one in processes:
        if one.returncode is None:
            one.kill()
        await one.communicate()


@pytest.fixture
def key(tmp_path):
    """A key pair; return the private half's file."""
    made = asyncssh.generate_private_key("ssh-ed25519", "somebody's laptop")
    made.write_private_key(tmp_path / "id")
    made.write_public_key(tmp_path / "id.pub")
    (tmp_path / "id").chmod(0o600)
    return tmp_path / "id"


def line_of(key):
    return " ".join(key.with_suffix(".pub").read_text().split()[:2])


@pytest.mark.system
async def test_openssh_publishes_with_a_key(relay, echo, key, published):
    relay.join("ann", keys=(line_of(key),))
    await published(echo, "-i", str(key), "-o", "BatchMode=yes")

    status, _, body = await relay.ask("/s/x")

    assert status == 200
    assert body.startswith(b"GET /s/x HTTP/1.1")


@pytest.mark.system
async def test_openssh_publishes_with_a_token_as_its_password(relay, echo, tmp_path, published):
    join = relay.join("ann")
    ask = tmp_path / "askpass"
    ask.write_text(f"#!/bin/sh\necho {join.token}\n")
    ask.chmod(0o700)
    await published(
        echo, "-o", "PubkeyAuthentication=no",
        env={**os.environ, "SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force"},
    )  # fmt: skip

    assert (await relay.ask())[0] == 200


@pytest.mark.system
async def test_openssh_is_told_that_a_name_is_not_its_own(relay, echo, key, published):
    relay.join("ann", keys=(line_of(key),))
    found = await published(echo, "-i", str(key), "-o", "BatchMode=yes", name="bob", wait=False)

    _, said = await asyncio.wait_for(found.communicate(), 20)

    assert found.returncode == 255
    assert b"remote port forwarding failed" in said


@pytest.mark.system
async def test_another_key_opens_nothing(relay, echo, key, tmp_path, published):
    relay.join(
        "ann", keys=("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFv8EN1yJCxhqo7yOjsN2tZpnQk1uy6PZVGyTkEVMJvo",)
    )
    found = await published(echo, "-i", str(key), "-o", "BatchMode=yes", wait=False)

    _, said = await asyncio.wait_for(found.communicate(), 20)

    assert b"Permission denied" in said


@pytest.fixture
async def client(relay):
    """A connection that is logged in."""
    join = relay.join("ann")
    key = relay.place.key().export_public_key().decode()
    known = asyncssh.import_known_hosts(f"[127.0.0.1]:{join.port} {key}")
    options = {"config": None, "client_keys": None, "agent_path": None, "known_hosts": known}
    async with asyncssh.connect(
        "127.0.0.1", join.port, username="ann", password=join.token, **options
    ) as connection:
        yield connection


async def test_there_is_no_shell_no_command_and_no_file_transfer(client):
    with pytest.raises(asyncssh.ChannelOpenError):
        await client.create_process()
    with pytest.raises(asyncssh.ChannelOpenError):
        await client.run("id")
    with pytest.raises(asyncssh.ChannelOpenError):
        await client.start_sftp_client()


async def test_nothing_is_reached_from_the_relays_machine(client, echo):
    with pytest.raises(asyncssh.ChannelOpenError):
        await client.open_connection("127.0.0.1", echo)
    with pytest.raises(asyncssh.ChannelOpenError):
        await client.open_unix_connection("/tmp/socket")


@pytest.mark.parametrize("host", ["", "127.0.0.1", "localhost", "*", "ann.links.test", "bob"])
async def test_nothing_is_opened_on_the_relays_machine(client, relay, host):
    with pytest.raises(asyncssh.ChannelListenError):
        await client.forward_remote_port(host, 0, "127.0.0.1", 9)
    with pytest.raises(asyncssh.ChannelListenError):
        await client.forward_remote_path("/tmp/relay-test.sock", "127.0.0.1")


@pytest.mark.parametrize("user", ["ann", "bob", "root"])
async def test_who_proves_nothing_is_not_let_in(relay, user):
    relay.join("ann")
    options = {"config": None, "client_keys": None, "agent_path": None, "known_hosts": None}
    for password in ("", "wrong", clients.new_token()):
        with pytest.raises(asyncssh.PermissionDenied):
            await asyncssh.connect(
                "127.0.0.1", relay.open.ssh_port, username=user, password=password, **options
            )


async def test_a_token_that_has_expired_opens_nothing(relay):
    join = relay.join("ann", expires=1.0)
    options = {"config": None, "client_keys": None, "agent_path": None, "known_hosts": None}
    with pytest.raises(asyncssh.PermissionDenied):
        await asyncssh.connect("127.0.0.1", join.port, username="ann", password=join.token, **options)


async def test_strangers_are_few(relay):
    """Connections that do not log in, from one address: the next is closed without a word."""
    opened = [await asyncio.open_connection("127.0.0.1", relay.open.ssh_port) for _ in range(MOST_OF_ONE)]
    greeted = [await reader.readline() for reader, _ in opened]
    reader, writer = await asyncio.open_connection("127.0.0.1", relay.open.ssh_port)
    try:
        turned_away = await asyncio.wait_for(reader.read(), 20)
    except ConnectionError:
        turned_away = b""
    for _, one in [*opened, (reader, writer)]:
        one.close()

    assert all(line.startswith(b"SSH-2.0-PRISM") for line in greeted)
    assert b"PRISM" not in turned_away
    await relay.settled(lambda: not relay.hall.strangers)
