"""The parts around a gateway: restart policy, metrics, events, memory, links, views."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from prism_core.errors import InvalidParameter
from prism_core.gateway.events import HELD_EVENTS, open_events
from prism_core.gateway.extensions import warn_of_unused
from prism_core.gateway.observe import BATCH, Metrics, open_metrics
from prism_core.gateway.restarts import RestartPolicy, exit_text
from prism_core.gateway.views import UploadRequest, check_name, name_of
from prism_core.links import lan
from prism_core.links.lan import LanConfig, LanLinker
from prism_core.protocols import PublicListener
from prism_core.specs import CallRecord, ModelEvent

POLICY = RestartPolicy(first_s=0.1, longest_s=30.0, settled_s=10.0, quick_deaths=8)

# --- restarts --------------------------------------------------------------------------------


def test_the_first_death_is_answered_at_once():
    assert POLICY.delay_s(1, 0.9) == 0.0


@given(st.integers(2, 8), st.floats(0, 1, exclude_max=True))
def test_each_further_death_waits_longer_within_bounds(deaths, chance):
    delay = POLICY.delay_s(deaths, chance)
    middle = min(30.0, 0.1 * 2 ** (deaths - 2))

    assert 0.5 * middle <= delay <= 1.5 * middle + 1e-9


def test_it_gives_up_in_the_end():
    assert POLICY.delay_s(9, 0.5) is None


@given(st.lists(st.floats(0, 100), max_size=40))
def test_only_quick_deaths_in_a_row_count(lives):
    deaths = 0
    for index, lived_s in enumerate(lives):
        deaths = POLICY.deaths(deaths, lived_s)
        quick = next((n for n, life in enumerate(reversed(lives[: index + 1])) if life >= 10.0), index)
        assert deaths == quick + 1


@pytest.mark.parametrize(
    ("code", "text"), [(0, "exit code 0"), (-9, "signal 9"), (-1, "an unknown exit code")]
)
def test_an_exit_code_has_words(code, text):
    assert exit_text(code) == text


# --- metrics ---------------------------------------------------------------------------------


def call(version=1, code="ok", cache="miss", batch_rows=4, queue_s=0.001, compute_s=0.002):
    return CallRecord("churn", version, 200, code, 2, batch_rows, queue_s, compute_s, 0.01, cache)


class Listener:
    """An observer that remembers, or fails."""

    def __init__(self, error=None):
        self.seen, self.error = [], error
        self.heard = asyncio.Event()

    async def observe(self, records):
        self.heard.set()
        if self.error:
            raise self.error
        self.seen += records


async def test_calls_are_counted_by_version_and_code():
    async with open_metrics({}) as metrics:
        for record in (
            call(),
            call(),
            call(code="invalid_input"),
            call(version=2, cache="hit", batch_rows=0),
        ):
            metrics.record(record)
        text = metrics.scrape()[0].decode()

    assert 'prism_requests_total{code="ok",model="churn",version="1"} 2.0' in text
    assert 'prism_requests_total{code="invalid_input",model="churn",version="1"} 1.0' in text
    assert 'prism_cache_total{model="churn",result="hit",version="2"} 1.0' in text
    assert 'prism_batch_rows_count{model="churn",version="1"} 3.0' in text
    assert 'prism_compute_seconds_sum{model="churn",version="1"} 0.006' in text
    assert 'prism_queue_seconds_bucket{le="0.001",model="churn",version="1"} 3.0' in text
    assert 'prism_queue_seconds_count{model="churn",version="2"}' not in text


async def test_a_removed_version_leaves_the_metrics():
    async with open_metrics({}) as metrics:
        metrics.record(call())
        metrics.restarts.labels("churn", "1").inc()
        metrics.forget("churn", 1)
        text = metrics.scrape()[0].decode()

    assert "churn" not in text


async def test_observers_get_batches_and_a_failing_one_is_muted():
    good, bad = Listener(), Listener(RuntimeError("no"))
    async with open_metrics({"good": good, "bad": bad}) as metrics:
        for _ in range(BATCH):
            metrics.record(call())
        await good.heard.wait()
        await bad.heard.wait()
        metrics.record(call())

    assert len(good.seen) == BATCH + 1
    assert metrics.muted == {"bad": "RuntimeError: no"}


async def test_without_observers_nothing_is_scheduled():
    metrics = Metrics({})
    metrics.record(call())

    assert metrics._timer is None


# --- events ----------------------------------------------------------------------------------


def event(number=1):
    return ModelEvent("model.ready", "churn", number, 1.0, {"version": number})


async def test_an_event_is_stored_then_told():
    order = []

    async def store(one):
        order.append("stored")

    async with open_events(store, lambda one: order.append("heard")) as events:
        listening = asyncio.ensure_future(anext(aiter(events.subscribe())))
        await asyncio.sleep(0)
        events.emit(event())
        assert await listening == event()
        await events.settle()

    assert order == ["stored", "heard"]


async def test_a_slow_listener_loses_its_oldest():
    async def store(one):
        pass

    async with open_events(store, lambda one: None) as events:
        stream = events.subscribe()
        first = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        for number in range(HELD_EVENTS + 11):
            events.emit(event(number))
        await events.settle()
        assert (await first).version in (0, 11)
        await stream.aclose()


async def test_a_failing_hook_or_store_does_not_end_the_delivery():
    heard = []

    async def store(one):
        raise RuntimeError("disk full")

    def hear(one):
        heard.append(one.version)
        raise RuntimeError("plugin")

    async with open_events(store, hear) as events:
        events.emit(event(1))
        events.emit(event(2))

    assert heard == [1, 2]


# --- links -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "config", "url"),
    [
        ("0.0.0.0", LanConfig(), "http://10.1.2.3:8000"),
        ("::", LanConfig(), "http://10.1.2.3:8000"),
        ("127.0.0.1", LanConfig(), "http://127.0.0.1:8000"),
        ("fe80::1", LanConfig(), "http://[fe80::1]:8000"),
        ("0.0.0.0", LanConfig(host="box.local"), "http://box.local:8000"),
    ],
)
async def test_the_local_network_names_a_reachable_address(host, config, url):
    linker = LanLinker(config, find=lambda: "10.1.2.3")

    assert await linker.publish(PublicListener(host, 8000)) == url
    assert await linker.health() == ""


def test_a_configuration_that_nothing_reads_is_told():
    offered = {"prism_link_providers": {one.name: one for one in lan.prism_link_providers()}}

    with capture_logs() as logs:
        warn_of_unused({"lan": {}, "lam": {}, "podman": {}}, offered)

    assert [(line["key"], line["hint"]) for line in logs] == [
        ("plugins.lam", "Did you mean 'lan'?"),
        ("plugins.podman", "Is its plugin installed?"),
    ]


def test_an_address_of_six_words_is_bracketed():
    assert PublicListener("::1", 80).url() == "http://[::1]:80"


# --- views -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filename", "name"),
    [
        ("churn_model.pkl", "churn"),
        ("Churn-Model.joblib", "churn"),
        ("model.pkl", "model"),
        ("My Model (2).onnx", "my-model-2"),
        ("/tmp/a/resnet50.v1.onnx", "resnet50.v1"),
        ("saved", "saved"),
        ("_x_model.pkl", "x"),
    ],
)
def test_a_file_suggests_a_name(filename, name):
    assert name_of(filename) == name
    assert UploadRequest(filename=filename).model == name


@given(st.text(max_size=100))
def test_a_suggested_name_is_a_name_or_empty(filename):
    name = name_of(filename)

    assert name == "" or check_name(name) == name


@pytest.mark.parametrize("name", ["", "A", "-a", "a b", "a/b", "a@b", "x" * 65])
def test_what_cannot_name_a_model_is_refused(name):
    with pytest.raises(InvalidParameter):
        check_name(name)


def test_a_replica_that_was_asked_is_never_given_up():
    """Who can send a request that ends replicas must not be able to end the model for all."""
    deaths = 0
    for _ in range(100):
        deaths = POLICY.deaths(deaths, 0.5, asked=True)

    assert POLICY.delay_s(deaths, 0.0) == pytest.approx(0.2)
