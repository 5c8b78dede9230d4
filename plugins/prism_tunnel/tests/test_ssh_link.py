"""The provider `ssh` through OpenSSH's sshd: it works, it says why it does not, it notices its end."""

import asyncio
import re
import signal
import subprocess
from urllib.request import urlopen

import attrs
import pytest

from prism_core.plugin import ConfigError, TunnelFailed, TunnelRefused
from prism_core.testing import TunnelContract
from prism_tunnel.config import SshConfig
from prism_tunnel.ssh.connecting import host_key
from prism_tunnel.ssh.hosts import KnownHosts
from prism_tunnel.ssh.linker import open_ssh, server_of

pytestmark = pytest.mark.system


class TestSsh(TunnelContract):
    @pytest.fixture(autouse=True)
    def _sshd(self, sshd):
        self.sshd = sshd

    def open(self):
        return open_ssh(self.sshd.config())

    async def lose(self, linker):
        self.sshd.cut()


async def body_of(url):
    return await asyncio.to_thread(lambda: urlopen(url, timeout=10).read())


async def refusal(config, listener):
    """Return the error of publishing, which is not to be tried again."""
    async with open_ssh(config) as linker:
        with pytest.raises(TunnelRefused) as caught:
            await linker.publish(listener)
    return caught.value


# --- addresses ------------------------------------------------------------------------------


async def test_a_web_server_in_front_has_an_address_of_its_own(sshd, listener, free_port):
    """Then the port is for it alone, on the server's loopback."""
    config = sshd.config(url="https://models.example.org/", remote_host="", remote_port=free_port)
    async with open_ssh(config) as linker:
        assert await linker.publish(listener) == "https://models.example.org"
        assert await body_of(f"http://127.0.0.1:{free_port}/") == b"prism"


async def test_an_address_may_tell_the_port(sshd, listener):
    async with open_ssh(sshd.config(url="http://{host}:{port}/below/")) as linker:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/below", await linker.publish(listener))


@pytest.mark.parametrize("url", ["models.example.org", "https://{name}.example.org"])
def test_what_is_no_address_is_refused(url):
    with pytest.raises(ValueError, match="url: "):
        SshConfig(url=url)


def test_what_names_no_server_to_go_through_is_refused():
    with pytest.raises(ValueError, match="jump: '' is no HOST"):
        SshConfig(jump=("near.example.org", "me@"))


@pytest.mark.parametrize("host", ["me@vps.example.org", "vps.example.org:2222", "ssh://vps.example.org"])
def test_a_host_is_a_machines_name_alone(host):
    with pytest.raises(ValueError, match="see `user` and `port`"):
        SshConfig(host=host)


async def test_no_server_is_named():
    with pytest.raises(ConfigError, match=r"plugins\.ssh\.host"):
        async with open_ssh(SshConfig()):
            pass


async def test_a_file_of_sshs_own_may_name_the_server(sshd, listener, tmp_path):
    (tmp_path / "config").write_text(
        f"Host vps\n HostName 127.0.0.1\n Port {sshd.port}\n IdentityFile {sshd.key}\n IdentitiesOnly yes\n"
    )
    config = sshd.config(
        host="vps", port=0, keys=(), config_file=str(tmp_path / "config"), url="http://127.0.0.1:{port}"
    )
    async with open_ssh(config) as linker:
        assert await body_of(await linker.publish(listener)) == b"prism"


async def test_through_another_server(start_sshd, listener):
    near, far = start_sshd("near"), start_sshd("far")
    known = (*near.config().known_hosts, *far.config().known_hosts)
    keys = (str(near.key), str(far.key))
    config = far.config(jump=(f"127.0.0.1:{near.port}",), keys=keys, known_hosts=known)
    async with open_ssh(config) as linker:
        assert await body_of(await linker.publish(listener)) == b"prism"
        near.send(signal.SIGKILL)
        async with asyncio.timeout(10):
            assert f"127.0.0.1:{far.port} ended" in await linker.broken()


async def test_the_host_key_of_a_server_on_the_way_is_looked_at_too(start_sshd, listener):
    near, far = start_sshd("near"), start_sshd("far")

    error = await refusal(far.config(jump=(f"127.0.0.1:{near.port}",)), listener)

    assert f"127.0.0.1:{near.port} is not known" in error.message


# --- host keys ------------------------------------------------------------------------------


async def test_an_unknown_host_key_is_shown_and_refused(sshd, listener):
    error = await refusal(sshd.config(known_hosts=()), listener)

    assert f"is not known: {sshd.fingerprint} (ssh-ed25519)" in error.message
    assert error.hint.endswith(f"prism tunnel trust 127.0.0.1:{sshd.port}")


async def test_a_host_key_that_was_trusted_is_known(sshd, listener):
    config = sshd.config(known_hosts=())
    key = await host_key(server_of(config))
    KnownHosts.of(config.data_dir, ()).remember(key)

    assert key.fingerprint == sshd.fingerprint
    async with open_ssh(config) as linker:
        assert await body_of(await linker.publish(listener)) == b"prism"


async def test_another_host_key_than_the_known_is_told_loudly(start_sshd, new_key, listener):
    sshd = start_sshd()
    known = sshd.fingerprint
    config = sshd.config()
    (sshd.directory / "known_hosts.old").write_bytes((sshd.directory / "known_hosts").read_bytes())
    sshd.send(signal.SIGKILL)
    sshd.process.wait()
    new_key(sshd.directory / "host")
    again = start_sshd(port=sshd.port)

    error = await refusal(
        attrs.evolve(config, known_hosts=(str(sshd.directory / "known_hosts.old"),)), listener
    )

    assert "HAS CHANGED" in error.message
    assert known in error.message
    assert again.fingerprint in error.message


async def test_another_kind_of_host_key_than_the_known_is_a_change_too(sshd, new_key, listener, tmp_path):
    """It is not even shown in the key exchange that asks for the known kind."""
    other = new_key(tmp_path / "ecdsa", "ecdsa").with_suffix(".pub").read_text().split()[:2]
    (tmp_path / "known").write_text(f"[127.0.0.1]:{sshd.port} {' '.join(other)}\n")

    error = await refusal(sshd.config(known_hosts=(str(tmp_path / "known"),)), listener)

    assert "HAS CHANGED" in error.message
    assert sshd.fingerprint in error.message


async def test_a_revoked_host_key_is_refused(sshd, listener):
    known = sshd.directory / "known_hosts"
    known.write_text(f"{known.read_text()}@revoked {known.read_text()}")

    assert "revoked" in (await refusal(sshd.config(), listener)).message


# --- logging in -----------------------------------------------------------------------------


async def test_a_key_that_the_server_does_not_know(sshd, new_key, listener, tmp_path):
    error = await refusal(sshd.config(keys=(str(new_key(tmp_path / "other")),)), listener)

    assert "does not accept the login" in error.message
    assert "authorized_keys" in error.hint


@pytest.mark.parametrize("passphrase", [None, "secret"])
async def test_a_key_that_cannot_be_read(sshd, new_key, listener, tmp_path, passphrase):
    path = tmp_path / "other"
    if passphrase:
        new_key(path, passphrase=passphrase)

    error = await refusal(sshd.config(keys=(str(path),)), listener)

    assert f"The key {str(path)!r} cannot be read" in error.message


async def test_the_agent_logs_in(sshd, agent, listener, monkeypatch, tmp_path):
    monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))
    monkeypatch.setenv("HOME", str(tmp_path))
    await asyncio.to_thread(subprocess.run, ["ssh-add", "-q", str(sshd.key)], check=True)
    async with open_ssh(sshd.config(keys=(), agent=True)) as linker:
        assert await body_of(await linker.publish(listener)) == b"prism"

    assert "login" in (await refusal(sshd.config(keys=(), agent=False), listener)).message


# --- the port -------------------------------------------------------------------------------


async def test_a_taken_port_is_refused(sshd, listener):
    error = await refusal(sshd.config(remote_port=listener.port), listener)

    assert f"does not listen on port {listener.port}" in error.message


@pytest.mark.parametrize("more", ["AllowTcpForwarding no", "PermitListen 127.0.0.1:1"])
async def test_a_server_that_forbids_forwarding_is_refused(start_sshd, listener, more):
    error = await refusal(start_sshd(more=more).config(), listener)

    assert "AllowTcpForwarding" in error.hint


async def test_a_port_that_the_server_still_keeps_for_us_is_tried_again(sshd, listener, free_port):
    """After a cut, or the sudden end of a server of ours, sshd may not have noticed yet."""
    config = sshd.config(remote_port=free_port)
    async with open_ssh(config) as old, open_ssh(config) as new:
        await old.publish(listener)

        with pytest.raises(TunnelFailed, match=f"does not give port {free_port} back yet"):
            await new.publish(listener)
        await old.withdraw()
        assert await body_of(await new.publish(listener)) == b"prism"


# --- servers that are not there, or go ------------------------------------------------------


async def test_nobody_listens_there(sshd, listener, free_port):
    async with open_ssh(sshd.config(port=free_port)) as linker:
        with pytest.raises(TunnelFailed, match=f"127.0.0.1:{free_port} cannot be reached"):
            await linker.publish(listener)


async def test_what_listens_there_says_nothing(sshd, listener):
    sshd.process.send_signal(signal.SIGSTOP)
    async with open_ssh(sshd.config(connect_s=0.2)) as linker:
        with pytest.raises(TunnelFailed, match="does not answer in time"):
            await linker.publish(listener)


async def test_what_listens_there_is_no_ssh_server(sshd, listener):
    """A hotel's page may stand there until one has paid: it is tried again."""
    async with open_ssh(sshd.config(port=listener.port, connect_s=0.5)) as linker:
        with pytest.raises(TunnelFailed):
            await linker.publish(listener)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_server_that_dies_or_freezes_is_noticed(sshd, listener, number):
    config = sshd.config(keepalive_s=0.5, keepalive_count=2)
    async with open_ssh(config) as linker:
        await linker.publish(listener)
        broken = asyncio.create_task(linker.broken())
        await asyncio.sleep(0)
        assert await linker.health() == ""

        sshd.send(number)

        async with asyncio.timeout(30):
            reason = await broken
        assert reason.startswith(f"The connection to 127.0.0.1:{sshd.port} ended")
        assert await linker.health() == reason


async def test_it_comes_back_with_the_server(start_sshd, listener):
    sshd = start_sshd()
    async with open_ssh(sshd.config()) as linker:
        await linker.publish(listener)
        sshd.send(signal.SIGKILL)
        await linker.broken()
        with pytest.raises(TunnelFailed):
            await linker.publish(listener)
        start_sshd(port=sshd.port)

        assert await body_of(await linker.publish(listener)) == b"prism"


async def test_a_frozen_server_does_not_hold_up_the_end(sshd, listener):
    async with open_ssh(sshd.config()) as linker:
        await linker.publish(listener)
        sshd.send(signal.SIGSTOP)
        async with asyncio.timeout(30):
            await linker.withdraw()


async def test_a_listener_that_is_gone_does_not_end_the_tunnel(sshd, free_port, listener):
    async with open_ssh(sshd.config()) as linker:
        url = await linker.publish(attrs.evolve(listener, port=free_port))
        with pytest.raises(OSError, match=r"."):
            await body_of(url)

        assert await linker.health() == ""
