"""What a bundle says: told in the same bytes each time, and believed only whole."""

import contextlib
import json

import attrs
import pytest

from prism_core import bundle as bundles
from prism_core import tars
from prism_core.bundle import Bundle, Config, FrozenArtifact, FrozenEnvironment, Locked
from prism_core.environment import Requirement
from prism_core.errors import ArtifactError

ENVIRONMENT = FrozenEnvironment("3.11.7", (Locked("numpy", "2.1.0"),), (Requirement("numpy", "==2.1.0"),))
CHURN = Bundle(
    model="churn",
    version=3,
    created=1.5,
    artifact=FrozenArtifact("churn_model.pkl", "sha256:00", 5, False),
    loader="sklearn",
    plugin="prism-sklearn 0.1.0",
    config=Config({"outputs": "predictions"}, threads=2),
    environment=ENVIRONMENT,
    trust=("mine:Scaler",),
    signature={"inputs": []},
)


def test_what_was_said_is_read_again():
    assert bundles.decode(bundles.encode(CHURN)) == CHURN


def test_options_in_another_order_are_the_same_bytes():
    one = attrs.evolve(CHURN, config=Config({"a": 1, "b": 2}))
    other = attrs.evolve(CHURN, config=Config({"b": 2, "a": 1}))

    assert bundles.encode(one) == bundles.encode(other)


def test_every_changed_byte_is_noticed_or_means_nothing():
    """The digest covers all that is said; around it is JSON, of which a name may be lost but no value."""
    data = bundles.encode(CHURN)
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1
        with contextlib.suppress(ArtifactError):
            assert bundles.decode(bytes(changed)) == CHURN


def test_a_newer_format_is_told_with_what_wrote_it():
    newer = json.dumps({"format": 2, "prism": "9.0", "anything": "else"}).encode()
    with pytest.raises(ArtifactError, match=r"format 2, written by PRISM '9.0'") as caught:
        bundles.decode(newer)

    assert "Upgrade PRISM" in caught.value.hint


def with_contents(change):
    """Return a head whose contents are what ``change`` makes of them, with their right digest."""
    head = json.loads(bundles.encode(CHURN))
    contents = json.dumps(change(head["contents"])).encode()
    digest = bundles._digest(contents)
    return b'{"format":1,"prism":"0","digest":"%b","contents":%b}' % (digest.encode(), contents)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"format": "1"}',
        b'{"format": 1}',
        with_contents(lambda said: {}),
        with_contents(lambda said: said | {"model": 3}),
        with_contents(lambda said: said | {"config": {"replicas": 0}}),
        with_contents(lambda said: said | {"config": {"threads": -1}}),
        with_contents(lambda said: said | {"config": {"timeout_s": 0}}),
        with_contents(lambda said: said | {"config": {"batching": {"max_queue_rows": 0}}}),
    ],
)
def test_what_is_no_bundle_is_refused(data):
    with pytest.raises(ArtifactError, match="The bundle is damaged") as caught:
        bundles.decode(data)

    assert "prism freeze" in caught.value.hint


def test_fields_of_a_later_prism_are_left_out():
    assert bundles.decode(with_contents(lambda said: said | {"later": 1})) == CHURN


def test_a_file_is_told_by_its_first_bytes(tmp_path):
    (tmp_path / "model").write_bytes(b"bytes")
    data = b"".join(tars.stream(bundles.entries(CHURN, tmp_path / "model")))

    assert bundles.is_bundle(data[:512])
    assert not any(
        map(bundles.is_bundle, (b"", data[:100], data[1:513], bundles.HEAD.encode() + b"\0" * 600))
    )
