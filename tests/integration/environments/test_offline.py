"""An index over HTTP that can be reached, and then cannot."""

import http.server
import threading
from functools import partial

import pytest

from prism_core.errors import EnvironmentFailed


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def index(stage, monkeypatch):
    """Serve the wheels of the stage as an index that asks for a password."""
    root = stage.path / "http"
    (root / "simple").mkdir(parents=True)
    (root / "files").symlink_to(stage.index)
    stage.wheel("alpha", "1")
    for path in stage.index.iterdir():
        page = root / "simple" / path.name.partition("-")[0]
        page.mkdir()
        (page / "index.html").write_text(f'<a href="/files/{path.name}">{path.name}</a>')
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=root))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.delenv("UV_CONFIG_FILE")
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://someone:hunter2@127.0.0.1:{server.server_port}/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")

    def stop():
        server.shutdown()
        server.server_close()
        thread.join()

    yield stop
    stop()


async def test_what_was_cached_is_built_when_the_index_is_gone(stage, asked, index):
    stage.watch()
    made = await asked(stage.open(), "alpha==1")
    index()
    (stage.path / "environments").rename(stage.path / "another-machine")

    again = await asked(stage.open(), "alpha==1")

    assert again.pins[0].version == made.pins[0].version == "1"


async def test_what_is_in_no_cache_is_named_and_no_password_told(stage, asked, index):
    index()

    with pytest.raises(EnvironmentFailed, match="uv reaches no package index") as failed:
        await asked(stage.open(), "alpha==1")

    assert "alpha" in failed.value.message
    assert "hunter2" not in f"{failed.value} {failed.value.details}"


async def test_uv_may_be_told_to_stay_offline(stage, asked, index, monkeypatch):
    monkeypatch.setenv("UV_OFFLINE", "1")

    with pytest.raises(EnvironmentFailed, match="uv reaches no package index"):
        await asked(stage.open(), "alpha==1")
