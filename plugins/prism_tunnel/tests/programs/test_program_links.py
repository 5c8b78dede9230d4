"""Links by programs. No real program is run here: see `fake.py` for what plays them."""

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from prism_core.plugin import ConfigError, TunnelFailed, TunnelRefused
from prism_core.testing import TunnelContract
from prism_tunnel.programs import guard
from prism_tunnel.programs.config import CloudflaredConfig, FrpConfig
from prism_tunnel.programs.linker import open_program
from prism_tunnel.programs.running import KEPT_CHARS
from prism_tunnel.programs.table import PROGRAMS

NAMES = [program.name for program in PROGRAMS]


class ProgramContract(TunnelContract):
    program = ""

    @pytest.fixture(autouse=True)
    def _fakes(self, fakes, open_fake):
        self.fakes = fakes
        self.open = lambda: open_fake(self.program)

    def open(self):
        raise NotImplementedError("the fixture gives it")

    async def connect(self, url):
        return await asyncio.open_connection("127.0.0.1", self.fakes.port)

    async def lose(self, linker):
        self.fakes.process.kill()


class TestTailscale(ProgramContract):
    program = "tailscale"


class TestCloudflared(ProgramContract):
    program = "cloudflared"


class TestNgrok(ProgramContract):
    program = "ngrok"


class TestZrok(ProgramContract):
    program = "zrok"


class TestFrp(ProgramContract):
    program = "frp"


# --- addresses ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "said", "url"),
    [
        ("tailscale", {}, "https://fake{pid}.tail9f3a.ts.net"),
        ("tailscale", {"port": 8443}, "https://fake{pid}.tail9f3a.ts.net:8443"),
        ("cloudflared", {}, "https://fake{pid}-dashed-word-url.trycloudflare.com"),
        (
            "cloudflared",
            {"tunnel": "prism", "url": "https://models.example.org"},
            "https://models.example.org",
        ),
        ("ngrok", {}, "https://fake{pid}-pronto-ship.ngrok-free.dev"),
        ("ngrok", {"url": "https://models.ngrok.app"}, "https://models.ngrok.app"),
        ("zrok", {}, "https://fake{pid}.shares.zrok.io"),
        ("frp", {"url": "https://models.example.org/"}, "https://models.example.org"),
    ],
)
async def test_addresses(fakes, open_fake, listener, name, said, url):
    async with open_fake(name, **said) as linker:
        assert await linker.publish(listener) == url.format(pid=fakes.process.pid)


async def test_the_older_zrok_will_do(fakes, listener):
    fakes.install("zrok")
    zrok = next(program for program in PROGRAMS if program.name == "zrok")
    async with open_program(zrok.config(), zrok) as linker:
        assert await linker.publish(listener) == f"https://fake{fakes.process.pid}.share.zrok.io"


@pytest.mark.parametrize(
    ("name", "said"), [("cloudflared", {"tunnel": "prism"}), ("frp", {"server": "", "url": ""})]
)
async def test_settings_that_belong_together(open_fake, name, said):
    with pytest.raises(ConfigError, match=f"plugins.{name}"):
        async with open_fake(name, **said):
            pass


@pytest.mark.parametrize("config", [CloudflaredConfig, FrpConfig])
def test_what_is_no_address_is_refused(config):
    with pytest.raises(ValueError, match="url: "):
        config(url="models.example.org")


# --- secrets --------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "key"), [("ngrok", "authtoken"), ("frp", "token")])
async def test_a_token_stands_on_no_command_line(fakes, open_fake, listener, name, key):
    async with open_fake(name, **{key: "s3cret"}) as linker:
        await linker.publish(listener)
        above = fakes.process.parents()[:2]

        assert not [one for one in (fakes.process, *above) if "s3cret" in " ".join(one.cmdline())]
        assert "s3cret" not in repr(linker._config)


async def test_a_token_is_not_in_what_is_told(fakes, open_fake, listener):
    fakes.goes_wrong("leaks")
    async with open_fake("ngrok", authtoken="s3cret", url="https://never.example.org") as linker:
        await linker.publish(listener)
        reason = await linker.broken()

    assert "ngrok ended with 3" in reason
    assert "debug: token ***" in reason


async def test_a_program_is_told_nothing_of_prism(fakes, open_fake, listener):
    async with open_fake("zrok") as linker:
        await linker.publish(listener)

    assert not [name for name in fakes.seen["environ"] if name.startswith("PRISM_")]


async def test_files_of_a_program_end_with_it(fakes, open_fake, listener):
    async with open_fake("frp", token="s3cret") as linker:
        await linker.publish(listener)
        path = Path(fakes.seen["argv"][1])
        assert "s3cret" in path.read_text()
        await linker.withdraw()

        assert not path.parent.exists()


# --- what goes wrong ------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
async def test_what_another_try_would_not_mend_is_refused(fakes, open_fake, listener, name):
    fakes.goes_wrong("refused")
    async with open_fake(name) as linker:
        with pytest.raises(TunnelRefused, match=f"{name} is refused: ") as caught:
            await linker.publish(listener)

    assert "https://" in caught.value.hint


async def test_a_page_to_be_opened_is_told(fakes, open_fake, listener):
    fakes.goes_wrong("refused")
    async with open_fake("tailscale") as linker:
        with pytest.raises(TunnelRefused, match=r"login\.tailscale\.com/f/funnel"):
            await linker.publish(listener)


@pytest.mark.parametrize("name", NAMES)
async def test_a_program_that_dies_says_what_it_said(fakes, open_fake, listener, name):
    fakes.goes_wrong("dies")
    async with open_fake(name) as linker:
        with pytest.raises(TunnelFailed, match=f"{name} ended with 2: panic: runtime error"):
            await linker.publish(listener)


async def test_a_program_that_says_nothing_is_not_waited_for_for_ever(fakes, open_fake, listener):
    fakes.goes_wrong("silent")
    async with open_fake("ngrok", start_s=0.3) as linker:
        with pytest.raises(TunnelFailed, match=r"not ready within 0\.3 s: it said nothing"):
            await linker.publish(listener)
        assert await linker.health() == "No tunnel is open."


async def test_a_flood_of_output_is_bounded(fakes, open_fake, listener):
    fakes.goes_wrong("floods")
    async with open_fake("tailscale") as linker:
        await linker.publish(listener)

        assert len(linker._running.text) <= KEPT_CHARS


async def test_one_that_was_removed_is_refused(fakes, open_fake, listener):
    async with open_fake("frp") as linker:
        (fakes.place / "bin" / "frpc").unlink()
        with pytest.raises(TunnelRefused, match="frpc is not installed"):
            await linker.publish(listener)


@pytest.mark.parametrize("name", ["cloudflared", "ngrok"])
async def test_what_a_program_says_of_its_connection_is_believed(
    fakes, open_fake, listener, name, monkeypatch
):
    """It is asked on this machine, whatever proxy leads out of it."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    async with open_fake(name) as linker:
        await linker.publish(listener)
        assert await linker.health() == ""
        fakes.state("lost")

        assert name in await linker.health()


# --- the end --------------------------------------------------------------------------------


def gone(*processes):
    """Return when processes have ended, whether or not somebody has looked at their end yet."""
    ends = time.monotonic() + 20
    while any(map(_runs, processes)):
        assert time.monotonic() < ends
        time.sleep(0.005)
    return True


def _runs(process):
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_a_withdrawn_program_ends_with_its_children(fakes, open_fake, listener):
    fakes.goes_wrong("child")
    async with open_fake("ngrok") as linker:
        await linker.publish(listener)
        processes = fakes.process, fakes.child
        await linker.withdraw()

        assert gone(*processes)


async def test_the_children_of_a_program_that_died_end_too(fakes, open_fake, listener):
    fakes.goes_wrong("child")
    async with open_fake("ngrok") as linker:
        await linker.publish(listener)
        child = fakes.child
        fakes.process.kill()

        assert await linker.broken()
        assert await asyncio.to_thread(gone, child)


SERVER = """
import asyncio, sys
from prism_core.plugin import PublicListener
from prism_tunnel.programs.linker import open_program
from prism_tunnel.programs.table import PROGRAMS

async def main():
    program = next(one for one in PROGRAMS if one.name == "ngrok")
    async with open_program(program.config(), program) as linker:
        print(await linker.publish(PublicListener("127.0.0.1", 9)), flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.parametrize("whom", ["server", "guard"])
def test_a_killed_server_leaves_nothing_behind(fakes, whom):
    """Nor does the guard between, should somebody kill that (Linux)."""
    fakes.install("ngrok")
    fakes.goes_wrong("child" if whom == "server" else "")
    server = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True)
    with server:
        assert server.stdout.readline().startswith("https://")
        program, guard = fakes.process, fakes.process.parent()
        children = [fakes.child] if whom == "server" else []
        (server if whom == "server" else guard).kill()

        assert gone(program, guard, *children)
        server.kill()


def test_a_guard_without_waitid_does_the_same(tmp_path):
    """As on macOS before Python 3.13."""
    script = (
        "import os, runpy, sys; del os.waitid; "
        f"sys.argv = ['guard', '1', '{tmp_path / 'files'}', '/bin/sh', '-c', 'sleep 600 & echo $!; exit 3']; "
        f"runpy.run_path({guard.__file__!r}, run_name='__main__')"
    )
    (tmp_path / "files").mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        child = int(process.stdout.read())  # until the last that could write there has ended

        assert process.wait() == 3
    assert not (tmp_path / "files").exists()
    assert not psutil.pid_exists(child) or gone(psutil.Process(child))


# --- the table ------------------------------------------------------------------------------


@pytest.mark.parametrize("program", PROGRAMS, ids=NAMES)
def test_a_program_is_told_with_its_version(fakes, program):
    fakes.install(*program.commands)

    assert program.missing() == ""
    assert program.about().startswith(str(fakes.place / "bin" / program.commands[0]))
    assert any(sign.isdigit() for sign in program.about().rpartition(" ")[2])


@pytest.mark.parametrize("program", PROGRAMS, ids=NAMES)
def test_one_that_is_not_installed_is_told_with_how_to_get_it(fakes, program):
    fakes.install()

    assert program.missing() == f"{program.commands[0]} is not installed; {program.get} tells how to get it."


def test_a_program_that_hangs_hangs_nobody(fakes, monkeypatch):
    fakes.install()
    path = fakes.place / "bin" / "ngrok"
    path.write_text(f"#!{sys.executable}\nimport time; time.sleep(60)")
    path.chmod(0o755)
    monkeypatch.setattr("prism_tunnel.programs.program.VERSION_S", 0.2)

    assert "its version is not known" in next(one for one in PROGRAMS if one.name == "ngrok").about()
