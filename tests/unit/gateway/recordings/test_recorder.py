"""What becomes of requests on their way into files: redacted, shed, counted, and never in their way."""

from __future__ import annotations

import errno
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import pytest

from prism_core.errors import InvalidInput, ModelFailed, Overloaded
from prism_core.gateway.prediction import Head, Prediction
from prism_core.gateway.traffic.journey import Ended
from prism_core.gateway.traffic.kinds import RoutedCall
from prism_core.gateway.traffic.recordings import recorder as recording_module
from prism_core.gateway.traffic.recordings.reading import Reader, segments_of, totals_of
from prism_core.gateway.traffic.recordings.recorder import Recorder
from prism_core.gateway.traffic.recordings.segments import Segments
from prism_core.gateway.traffic.sender import Sender
from prism_core.traffic.recording import Recording
from prism_core.traffic.route import Route
from prism_core.types import Signature, TensorSpec

SIGNATURE = Signature(
    (TensorSpec("age", "FP64", (-1,)), TensorSpec("email", "BYTES", (-1,))),
    (TensorSpec("y", "FP64", (-1,)),),
    columnar=True,
)
SECRETS = ("Bearer sk-very-secret", "session=cookie-secret", "198.51.100.7", "key:ann")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@attrs.define
class Scene:
    """A recorder without its thread: what waits is written when the test says so."""

    recorder: Recorder
    clock: Clock
    directory: Path
    models: set[str]

    def record(self, recording: Recording, *bodies: Any, **facts: Any) -> None:
        tap = self.recorder.tap(SimpleNamespace(model="churn", route=Route(record=recording)))
        for body in bodies:
            tap(ended(body, **facts))
        self.recorder.write()

    def kept(self) -> list[Any]:
        return list(Reader(segments_of(self.directory / "churn"), 0.0, float("inf")))

    def dropped(self) -> dict[str, int]:
        return totals_of(segments_of(self.directory / "churn")).dropped


@pytest.fixture
def scene(tmp_path) -> Scene:
    clock, models = Clock(), {"churn"}
    directory = tmp_path / "recordings"
    return Scene(Recorder(directory, b"key", models.__contains__, clock), clock, directory, models)


def ended(body: bytes = b"[]", outcome: Any = None, query: str = "", media_type: str = "") -> Ended:
    head = Head(media_type, "application/json", query)
    sender = Sender({"authorization": SECRETS[0], "cookie": SECRETS[1]}, SECRETS[2], SECRETS[3])
    answered = outcome is None
    outcome = outcome or Prediction(b'{"predictions": ["answer-secret"]}', "application/json", "churn", 3, 1)
    status, code = (200, "ok") if answered else (outcome.status, outcome.code)
    call = RoutedCall(1000.5, "id", "churn", 1, "churn/3", "churn/3" if answered else "", status, code, 0.5)
    return Ended(head, body, sender, SimpleNamespace(signature=SIGNATURE), outcome, call)


def every_byte(scene: Scene) -> bytes:
    """Return all that is in the files, unpacked."""
    files = b"".join(path.read_bytes() for path in scene.directory.rglob("*.rec"))
    return files + b"".join(repr(exchange).encode() for exchange in scene.kept())


def test_a_request_is_kept_with_what_became_of_it(scene):
    scene.record(Recording(), b'{"input": []}', query="outputs=y", media_type="application/json")
    (kept,) = scene.kept()
    assert (kept.at, kept.body, kept.query, kept.media_type) == (
        1000.0,
        b'{"input": []}',
        "outputs=y",
        "application/json",
    )
    assert (kept.arm, kept.answered, kept.status, kept.total_s) == ("churn/3", "churn/3", 200, 0.5)


def test_nothing_of_the_sender_and_nothing_of_the_answer_is_kept(scene):
    scene.record(Recording(), b'{"input": []}')
    found = every_byte(scene)
    assert not [secret for secret in (*SECRETS, "answer-secret") if secret.encode() in found]


def test_a_redacted_value_is_in_no_file(scene):
    body = b'{"input": [{"age": 3, "email": "ann@example.org"}]}'
    scene.record(Recording(redact=("email",)), body, query="email=ann@example.org")
    assert b"ann@example.org" not in every_byte(scene)
    assert b'"age":3' in scene.kept()[0].body


def test_a_view_of_a_large_body_is_kept_as_bytes(scene):
    scene.record(Recording(), memoryview(b'{"input": []}'))
    assert scene.kept()[0].body == b'{"input": []}'


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (b"\x00binary", None),
        (b'{"input": [{"emial": "ann"}]}', InvalidInput("There is no emial.")),
        (b'{"input": [{"emial": "ann"}]}', Overloaded("Nobody has read it.")),
        (b'{"input": [{"email": "' + b"a" * 300_000 + b'"}]}', None),
    ],
)
def test_what_cannot_be_redacted_is_counted_instead(scene, body, outcome):
    scene.record(Recording(redact=("email",)), body, outcome=outcome)
    assert (scene.kept(), scene.dropped()) == ([], {"not_redactable": 1})


def test_what_failed_in_the_model_was_read_by_it(scene):
    scene.record(
        Recording(redact=("email",)), b'{"input": [{"email": "ann"}]}', outcome=ModelFailed("It fell.")
    )
    assert [kept.code for kept in scene.kept()] == ["model_failed"]


def test_without_redaction_refused_requests_are_kept_too(scene):
    scene.record(Recording(), b"no JSON", outcome=InvalidInput("What?"))
    assert [kept.status for kept in scene.kept()] == [422]


def test_what_waits_is_bounded_by_its_bytes(scene, monkeypatch):
    monkeypatch.setattr(recording_module, "HELD_BYTES", 10_000)
    scene.record(Recording(), *[b"x" * 1000] * 10)
    kept = len(scene.kept())
    assert kept == 4
    assert scene.dropped() == {"busy": 6}
    scene.record(Recording(), b"x" * 1000)
    assert len(scene.kept()) == kept + 1


def test_a_body_that_is_large_beside_the_recording_is_left_out(scene):
    scene.record(Recording(max_size=1 << 20), b"x" * (200 << 10), b"y")
    assert ([kept.body for kept in scene.kept()], scene.dropped()) == ([b"y"], {"large": 1})


def test_a_share_of_all_requests_is_kept(scene):
    scene.record(Recording(percent=25.0), *[b"[]"] * 2000)
    assert 400 < len(scene.kept()) < 600


def test_nothing_is_written_of_a_model_that_was_removed(scene):
    scene.models.clear()
    scene.record(Recording(), b"[]")
    assert not (scene.directory / "churn").exists()


def test_a_full_disk_stops_it_and_it_goes_on_later(scene, monkeypatch):
    real = Segments.append

    def full(self: Segments, block: bytes, recording: Recording) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    scene.record(Recording(), b"1")
    monkeypatch.setattr(Segments, "append", full)
    scene.record(Recording(), b"2", b"3")
    monkeypatch.setattr(Segments, "append", real)
    scene.record(Recording(), b"4")  # too early: it rests
    scene.clock.now += recording_module.PAUSE_S
    scene.record(Recording(), b"5")

    assert [kept.body for kept in scene.kept()] == [b"1", b"5"]
    assert scene.dropped() == {"disk": 3}


def test_what_waits_while_the_route_changes_is_written_as_its_own_route_says(scene):
    body = b'{"input": [{"age": 3, "email": "ann"}]}'
    for recording in (Recording(), Recording(redact=("email",))):
        tap = scene.recorder.tap(SimpleNamespace(model="churn", route=Route(record=recording)))
        tap(ended(body))
    scene.recorder.write()

    found = {segment.head.redact: segment for segment in segments_of(scene.directory / "churn")}
    kept = {names: next(iter(Reader([one], 0.0, float("inf")))).body for names, one in found.items()}
    assert kept[()] == body
    assert b"ann" not in kept[("email",)]


def test_a_route_that_records_nothing_has_no_tap(scene):
    routes = (Route(), Route(record=Recording(percent=0.0)))
    assert [scene.recorder.tap(SimpleNamespace(model="m", route=route)) for route in routes] == [None, None]


def test_the_thread_writes_what_waits_before_it_ends(scene):
    scene.recorder.start()
    tap = scene.recorder.tap(SimpleNamespace(model="churn", route=Route(record=Recording())))
    tap(ended(b"last"))
    scene.recorder.close()
    assert [kept.body for kept in scene.kept()] == [b"last"]
