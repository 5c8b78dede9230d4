"""Who may ask how often, what a refusal costs, and what answers tell of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.errors import (
    ConfigError,
    InsufficientMemory,
    InvalidInput,
    ModelFailed,
    Overloaded,
    QuotaExceeded,
    RateLimited,
    StillLoading,
)
from prism_core.gateway.callers.addresses import REMEMBERED
from prism_core.gateway.callers.door import Door, Entry
from prism_core.gateway.callers.limiter import Limiter
from prism_core.gateway.callers.opening import addresses_of, limiter_of, limits
from prism_core.gateway.registry import Registry
from prism_core.rates import Allowance, Rate
from prism_core.rest.errors import problem_response
from prism_core.settings import ModelSettings, RateSettings, Settings
from prism_core.settings_file import load_settings
from prism_core.specs import NOBODY, Call, Caller
from prism_core.testing import Clock

HERE, THERE = "203.0.113.7", "203.0.113.8"


class Uses(dict):
    def spent(self, caller):
        return self.get(caller, 0)

    def spend(self, caller, count=1):
        self[caller] = self.spent(caller) + count


def rate(text):
    return Rate.parse(text)


def limiter(clock=None, uses=None, models=None, quota=0, **rates):
    return Limiter(
        {name: rate(text) for name, text in rates.items()},
        models={name: rate(text) for name, text in (models or {}).items()},
        uses=uses,
        quota=quota,
        clock=clock or Clock(),
    )


def call(model="churn", verb="predict", caller=NOBODY):
    return Call(model, verb, {}, HERE, 0, caller)


def key(name="one", **limits):
    return Caller(f"key:{name}", limits=Allowance(**limits))


def let_in(ask, *arguments, of=20):
    """Return how many of some requests in a row come in."""
    count = 0
    for _ in range(of):
        try:
            ask(*arguments)
        except RateLimited:
            continue
        count += 1
    return count


def test_each_address_has_a_bucket():
    limits = limiter(address="3/s")

    assert [let_in(limits.knock, address) for address in (HERE, THERE, HERE)] == [3, 3, 0]


def test_an_ipv6_network_has_one_bucket():
    limits = limiter(address="3/s")

    asked = sum(let_in(limits.knock, f"2001:db8::{number:x}", of=1) for number in range(20))
    assert asked == 3
    assert let_in(limits.knock, "2001:db8:0:1::1") == 3


def test_who_waits_comes_in_again():
    clock = Clock()
    limits = limiter(clock, address="4/s")
    let_in(limits.knock, HERE)
    with pytest.raises(RateLimited) as caught:
        limits.knock(HERE)

    clock.now += caught.value.details["retry_after_s"]
    limits.knock(HERE)


def test_each_model_has_a_bucket_whatever_it_is_called_by():
    limits = limiter(model="3/s")

    assert [
        let_in(limits.admit, call(name), of=1) for name in ("churn", "churn@champion", "churn/1", "churn")
    ] == [
        1,
        1,
        1,
        0,
    ]
    assert let_in(limits.admit, call("iris")) == 3


def test_a_model_may_have_a_rate_of_its_own():
    limits = limiter(model="3/s", models={"churn": "1/s"})

    assert [let_in(limits.admit, call(name)) for name in ("churn", "iris")] == [1, 3]
    assert [let_in(limiter(models={"churn": "1/s"}).admit, call(name)) for name in ("churn", "iris")] == [
        1,
        20,
    ]


def test_all_share_the_link():
    limits = limiter(link="3/s")

    assert [let_in(limits.admit, call(name)) for name in ("churn", "iris")] == [3, 0]


def test_each_key_has_a_bucket_and_may_have_a_rate_of_its_own():
    limits = limiter(key="3/s")
    callers = key("one"), key("two"), key("three", rate=rate("5/s")), NOBODY

    assert [let_in(limits.admit, call(caller=caller)) for caller in callers] == [3, 3, 5, 20]


@pytest.mark.parametrize("verb", ["read", "judge"])
def test_pages_and_feedback_count_to_links_and_keys_but_not_to_models_and_quotas(verb):
    uses = Uses()
    page = call(verb=verb, caller=key(quota=1))

    assert let_in(limiter(model="1/s", uses=uses).admit, page) == 20
    assert not uses
    assert let_in(limiter(link="1/s").admit, page) == 1
    assert let_in(limiter(key="1/s").admit, page) == 1


def test_a_refusal_takes_nothing_from_other_limits():
    clock = Clock()
    limits = limiter(clock, Uses(), key="2/s", model="1/s", link="10/s")
    caller = key(quota=5)

    assert let_in(limits.admit, call(caller=caller)) == 1
    clock.now += 1
    assert let_in(limits.admit, call("iris", caller=caller)) == 1
    assert limits.admit(call("other", caller=caller)).count(b'"quota";r=2') == 1


def test_a_quota_is_used_up_for_good():
    clock, uses = Clock(), Uses()
    limits = limiter(clock, uses)

    assert let_in(limits.admit, call(caller=key(quota=3))) == 3
    clock.now += 1e6
    with pytest.raises(QuotaExceeded, match="quota of 3 predictions is used up") as caught:
        limits.admit(call(caller=key(quota=3)))
    assert caught.value.details == {"limit": "quota", "quota": 3, "used": 3}
    assert uses == {"key:one": 3}


def test_a_quota_of_the_server_is_for_keys_without_one():
    limits = limiter(uses=Uses(), quota=2)
    callers = key("one"), key("two", quota=4), key("three", quota=0), NOBODY

    assert [let_in(limits.admit, call(caller=caller)) for caller in callers] == [2, 4, 20, 20]


def test_what_was_turned_away_is_given_back_to_a_quota():
    """What the model failed on is not: a caller can bring that about."""
    uses, clock = Uses(), Clock()
    limits = limiter(clock, uses, key="9/s")
    door = Door(limiter=limits)
    one = call(caller=key(quota=5))
    for error in (
        Overloaded(""),
        StillLoading(""),
        InsufficientMemory(""),
        ModelFailed(""),
        InvalidInput(""),
    ):
        door.failed(Entry(one, limits.admit(one)), error)

    assert uses == {"key:one": 2}
    assert let_in(limits.admit, one) == 3  # of the quota; five of nine are gone from the bucket


def test_a_page_gives_nothing_back():
    uses = Uses()
    limiter(uses=uses).give_back(call(verb="read", caller=key()))
    limiter(uses=uses).give_back(call())

    assert uses == {}


def test_use_is_kept_where_nothing_is_limited():
    uses = Uses()

    assert limiter(uses=uses).admit(call(caller=key())) == b""
    assert uses == {"key:one": 1}


@pytest.mark.parametrize(
    ("text", "asked", "policy", "state"),
    [
        ("5/s", 1, b"q=5;w=1", b"r=4;t=1"),
        ("5/s", 5, b"q=5;w=1", b"r=0;t=1"),
        ("5/s burst 20", 3, b"q=20;w=4", b"r=17;t=1"),
        ("6/min", 1, b"q=6;w=60", b"r=5;t=10"),
        ("100/s burst 1", 1, b"q=1;w=1", b"r=0;t=1"),
        ("3/10s", 1, b"q=3;w=10", b"r=2;t=4"),
    ],
)
def test_an_answer_tells_what_is_left(text, asked, policy, state):
    limits = limiter(address=text, key=text)
    for _ in range(asked):
        lines = limits.knock(HERE), limits.admit(call(caller=key()))

    for name, line in zip((b"address", b"key"), lines, strict=True):
        assert line == b'ratelimit-policy: "%b";%b\r\nratelimit: "%b";%b\r\n' % (name, policy, name, state)


def test_what_others_ask_is_not_told():
    assert limiter(link="5/s", model="5/s").admit(call()) == b""


def test_a_quota_has_no_window():
    lines = limiter(uses=Uses()).admit(call(caller=key(quota=3)))

    assert lines == b'ratelimit-policy: "quota";q=3\r\nratelimit: "quota";r=2\r\n'


@pytest.mark.parametrize("name", ["address", "key", "link", "model"])
def test_a_refusal_is_a_problem_that_says_when_to_come_back(name):
    limits = limiter(**{name: "2/10s"})

    def ask():
        limits.knock(HERE)
        limits.admit(call(caller=key()))

    assert let_in(ask) == 2
    with pytest.raises(RateLimited) as caught:
        ask()
    status, headers, body = problem_response(caught.value)
    assert status == 429
    assert (b"retry-after", b"5") in headers
    assert (b"ratelimit-policy", b'"%b";q=2;w=10' % name.encode()) in headers
    assert (b"ratelimit", b'"%b";r=0;t=5' % name.encode()) in headers
    assert b'"limit":"%b","rate":"2/10s"' % name.encode() in body


def test_a_quota_promises_nothing():
    limits = limiter(uses=Uses())
    let_in(limits.admit, call(caller=key(quota=1)))
    with pytest.raises(QuotaExceeded) as caught:
        limits.admit(call(caller=key(quota=1)))

    status, headers, _ = problem_response(caught.value)
    assert status == 429
    assert b"retry-after" not in dict(headers)
    assert (b"ratelimit", b'"quota";r=0') in headers


@given(
    st.lists(
        st.tuples(st.sampled_from(["churn", "iris"]), st.sampled_from("ab"), st.floats(0, 0.4)), max_size=60
    )
)
def test_a_request_comes_in_if_and_only_if_all_its_limits_let_it(asked):
    """Each limit alone, told of what came in, says what the limiter says."""
    clock = Clock()
    limits = limiter(clock, link="8/s", model="4/s", key="3/s")
    alone = {
        name: limiter(clock, **{name: text})
        for name, text in (("link", "8/s"), ("model", "4/s"), ("key", "3/s"))
    }

    for model, name, pause in asked:
        clock.now += pause
        one = call(model, caller=key(name))
        expected = all(_would(limit, kind, one) for kind, limit in alone.items())
        assert let_in(limits.admit, one, of=1) == expected
        if expected:
            for limit in alone.values():
                limit.admit(one)


def _would(limit, kind, one):
    subject = {"link": "lan", "model": one.model, "key": one.caller.id}[kind]
    policy = {"link": limit._link, "model": limit._model, "key": limit._key}[kind]
    return not policy.pace.wait_s(limit.buckets[kind].ahead_s(subject, limit._clock()))


def test_made_up_addresses_do_not_fill_the_memory():
    limits = limiter(address="1/h")
    for number in range(REMEMBERED * 10):
        limits.knock(f"2001:db8:{number:x}::1")

    assert len(limits._subjects) <= REMEMBERED
    assert len(limits.buckets["address"]) <= 40_000


REGISTRY = Registry(lambda event: None)
REGISTRY.lanes = {"churn": object(), "churn@champion": object()}


def test_what_is_not_served_has_no_bucket():
    limiter = limiter_of(Settings(rates=RateSettings(model=rate("1/h"))), REGISTRY)

    names = [f"made-up-{number}" for number in range(50)] + ["*", "churn/7"]
    assert [let_in(limiter.admit, call(name), of=2) for name in names] == [2] * 52
    assert len(limiter.buckets["model"]) == 0
    assert [let_in(limiter.admit, call(name), of=2) for name in ("churn@champion", "churn")] == [1, 0]


def test_nothing_is_limited_by_default():
    assert not limits(Settings())
    assert limits(Settings(auth="keys"))
    assert addresses_of(Settings()) is None


@pytest.mark.parametrize(
    "settings",
    [
        Settings(rates=RateSettings(address=rate("1/s"))),
        Settings(rates=RateSettings(link=rate("1/s"))),
        Settings(rates=RateSettings(model=rate("1/s"))),
        Settings(models={"churn": ModelSettings(rate=rate("1/s"))}),
    ],
)
def test_each_setting_limits(settings):
    limiter = limiter_of(settings, REGISTRY)

    def ask():
        limiter.knock(HERE)
        limiter.admit(call())

    assert let_in(ask) == 1


def test_a_key_whose_rate_has_changed_is_held_to_the_new_one():
    limits = limiter()

    assert let_in(limits.admit, call(caller=key(rate=rate("9/s"))), of=3) == 3
    assert let_in(limits.admit, call(caller=key(rate=rate("1/s burst 2")))) == 1


def test_a_proxy_that_is_none_stops_the_start():
    with pytest.raises(ConfigError, match="trusted_proxies: expected an address or a network"):
        addresses_of(Settings(trusted_proxies=("proxy.example.org",)))


def test_limits_may_be_set_by_variables(tmp_path):
    variables = {
        "PRISM__RATES__ADDRESS": "5/s burst 20",
        "PRISM__RATES__STORE_DOWN": "refuse",
        "PRISM_TRUSTED_PROXIES": "10.0.0.0/8,::1",
    }
    settings = load_settings(env=variables, flags={"data_dir": str(tmp_path)})

    assert settings.rates == RateSettings(address=Rate(5, 1, 20), store_down="refuse")
    assert settings.trusted_proxies == ("10.0.0.0/8", "::1")
