"""The recordings of all models: listed, read, deleted, and swept though nobody writes any more."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from prism_core.errors import ModelNotFound, NoRecordings
from prism_core.gateway.registry import Model, Registry
from prism_core.gateway.traffic.recordings.exchange import Exchange, encode_block
from prism_core.gateway.traffic.recordings.segments import Segments, files_of
from prism_core.gateway.traffic.recordings.shelf import Recordings, ahead, line_of
from prism_core.traffic.recording import Recording
from prism_core.traffic.route import Route


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Audit:
    """Notes what was done."""

    def __init__(self) -> None:
        self.actions: list[str] = []

    @asynccontextmanager
    async def acting(self, action: str, subject: str = "", **facts: Any) -> Any:
        self.actions.append(f"{action} {subject}")
        yield


@pytest.fixture
def scene(tmp_path) -> SimpleNamespace:
    clock, audit = Clock(), Audit()
    registry = Registry(lambda event: None)
    registry.models = {"churn": Model("churn"), "other": Model("other")}
    shelf = Recordings(tmp_path, registry, audit, clock)
    return SimpleNamespace(
        clock=clock, audit=audit, registry=registry, shelf=shelf, path=tmp_path / "recordings"
    )


def record(
    scene: SimpleNamespace, model: str = "churn", recording: Recording | None = None, size: int = 0
) -> None:
    """Write one request that comes now, to a file of its own."""
    segments = Segments(scene.path / model, model, scene.clock)
    segments.append(encode_block([Exchange(scene.clock.now, b"x" * size)], {}, 0.0), recording or Recording())
    segments.close()


def names(directory: Path) -> int:
    return len(files_of(directory))


async def test_models_are_listed_that_have_one_or_make_one(scene):
    record(scene)
    scene.registry.models["other"].route = Route(record=Recording())
    first, second = await scene.shelf.all()
    assert (first.model, first.recording, first.requests, first.since) == ("churn", False, 1, 1000.0)
    assert (second.model, second.recording, second.requests, second.since) == ("other", True, 0, None)


def test_what_belongs_to_no_model_is_swept(scene):
    record(scene, "gone")
    record(scene, "churn")
    scene.shelf.sweep()
    assert {path.name for path in scene.path.iterdir()} == {"churn"}


def test_what_is_too_old_is_swept_though_the_route_records_no_more(scene):
    record(scene, recording=Recording(max_age_s=50.0))
    scene.clock.now += 49
    scene.shelf.sweep()
    assert names(scene.path / "churn") == 1
    scene.clock.now += 2
    scene.shelf.sweep()
    assert names(scene.path / "churn") == 0


def test_what_cannot_be_read_goes_in_its_time_too(scene):
    """Whatever it holds."""
    record(scene)
    (file,) = (scene.path / "churn").iterdir()
    file.write_bytes(b"damaged" + file.read_bytes()[7:])
    scene.clock.now += Recording().max_age_s - 1
    scene.shelf.sweep()
    assert names(scene.path / "churn") == 1
    scene.clock.now += 2
    scene.shelf.sweep()
    assert names(scene.path / "churn") == 0


def test_bounds_that_became_narrower_hold_for_what_is_there(scene):
    for _ in range(3):
        record(scene, size=1000)
        scene.clock.now += 10
    scene.registry.models["churn"].route = Route(record=Recording(max_age_s=15.0))
    scene.shelf.sweep()
    assert names(scene.path / "churn") == 1
    scene.registry.models["churn"].route = Route(record=Recording(max_size=10))
    scene.shelf.sweep()
    assert names(scene.path / "churn") == 0


async def test_deleting_and_taking_away_are_in_the_audit_log(scene):
    record(scene)
    await scene.shelf.export("churn", 0.0, 2000.0)
    await scene.shelf.delete("churn")
    assert scene.audit.actions == ["recording.export churn", "recording.delete churn"]
    assert not (scene.path / "churn").exists()


async def test_what_is_not_there_is_told(scene):
    with pytest.raises(NoRecordings, match="has been recorded"):
        await scene.shelf.read("churn", 0.0, 2000.0)
    record(scene)
    with pytest.raises(NoRecordings, match="in that time"):
        await scene.shelf.read("churn", 0.0, 10.0)
    with pytest.raises(ModelNotFound):
        await scene.shelf.delete("nobody")


async def test_many_are_read_in_order_and_ahead(scene):
    segments = Segments(scene.path / "churn", "churn", scene.clock)
    for at in range(600):
        segments.append(encode_block([Exchange(float(at), b"{}")], {}, 0.0), Recording())
    reader = await scene.shelf.read("churn", 100.0, 500.0)
    assert [one.at async for one in ahead(iter(reader))] == [float(at) for at in range(100, 501)]


def test_a_line_holds_any_body():
    assert line_of(Exchange(1.0, b'{"input": 1}'))["body"] == '{"input": 1}'
    assert line_of(Exchange(1.0, b"\xff\x00"))["body"] == {"b64": "/wA="}
    assert json.loads(json.dumps(line_of(Exchange(1.0, b"\xff"))))["status"] == 200
