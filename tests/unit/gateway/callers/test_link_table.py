"""What opens a link, and what does not."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_core.errors import Forbidden, LinkExpired, LinkNotFound, PrismError, Unauthorized
from prism_core.gateway.callers import sessions
from prism_core.gateway.callers.link import LinkWish, caller_id, new_link
from prism_core.gateway.callers.link_table import LinkTable
from prism_core.gateway.callers.tally import Tally

NOW = 1_800_000_000.0
APP = "https://app.example.org"


class Scene:
    """One link, what was used of it, and a clock."""

    def __init__(self, **wish) -> None:
        self.now = NOW
        self.tally = Tally()
        self.link, self.token = new_link(LinkWish("churn", **wish), NOW)
        self.table = LinkTable([self.link], uses=self.tally, clock=lambda: self.now)

    def session(self, now: float | None = None) -> str:
        return sessions.new_session(self.link, self.now if now is None else now)[0]

    def asked(self, **headers: str) -> str:
        """Return what comes of a request: "in", or the refusal's code."""
        try:
            self.table.enter(self.link.slug, {name.replace("_", "-"): text for name, text in headers.items()})
        except PrismError as error:
            return error.code
        return "in"


@pytest.fixture(scope="module")
def locked() -> Scene:
    """A link with a password, which takes a while to make."""
    return Scene(password="swordfish")


WAYS = {
    "bearer": lambda text: {"authorization": f"Bearer {text}"},
    "bearer, as some write it": lambda text: {"authorization": f"bearer   {text} "},
    "x-prism-token": lambda text: {"x_prism_token": text},
    "x-prism-token beside another's credentials": lambda text: {
        "x_prism_token": text,
        "authorization": "Basic Zm9vOmJhcg==",
    },
}
COOKIES = {
    "alone": "prism_session={}",
    "among others": "a=b; prism_session={}; c=d",
    "after a wrong one": "prism_session=prs_1_00; prism_session={}",
    "in two headers": "a=b, prism_session={}",
}


@pytest.mark.parametrize("way", WAYS)
def test_a_token_opens_its_link(way):
    scene = Scene()

    assert scene.asked(**WAYS[way](scene.token)) == "in"
    assert scene.table.take_used() == {scene.link.slug}
    assert scene.table.take_used() == set()


@pytest.mark.parametrize("way", WAYS)
def test_a_session_opens_its_link(way):
    scene = Scene()

    assert scene.asked(**WAYS[way](scene.session())) == "in"


@pytest.mark.parametrize("cookie", COOKIES)
def test_a_session_comes_in_a_cookie(cookie):
    scene = Scene()

    assert scene.asked(cookie=COOKIES[cookie].format(scene.session())) == "in"
    assert scene.asked(cookie=COOKIES[cookie].format(scene.token)) == "unauthorized"


def test_where_there_is_a_password_the_token_alone_opens_nothing(locked):
    assert locked.asked(x_prism_token=locked.token) == "unauthorized"
    assert locked.asked(x_prism_token=locked.session()) == "in"


def test_who_has_the_token_alone_makes_no_session_where_there_is_a_password(locked):
    """Whoever has the token knows its digest and the slug: all but the password's salt."""
    known = msgspec.structs.replace(locked.link, password=b"")

    assert locked.asked(x_prism_token=sessions.new_session(known, NOW)[0]) == "unauthorized"


WRONG = {
    "nothing": {},
    "an empty token": {"x_prism_token": ""},
    "no bearer": {"authorization": "Bearer"},
    "another scheme": {"authorization": "Basic {token}"},
    "an API key's header": {"x_api_key": "{token}"},
    "a digit more": {"x_prism_token": "{token}2"},
    "a digit less": {"x_prism_token": "{short}"},
    "upper case": {"x_prism_token": "{upper}"},
    "two tokens": {"authorization": "Bearer {token}, Bearer {token}"},
    "a wrong particular one before a good one": {"x_prism_token": "x", "authorization": "Bearer {token}"},
    "what is no latin": {"x_prism_token": "\u2603"},
    "a session of nothing": {"x_prism_token": "prs_"},
    "a session without an end": {"x_prism_token": "prs__" + 64 * "0"},
    "a session of a token": {"x_prism_token": "prs_ffffffff_{token}"},
}


@pytest.mark.parametrize("wrong", WRONG)
def test_nothing_else_opens_a_link(wrong):
    scene = Scene()
    words = {"token": scene.token, "short": scene.token[:-1], "upper": scene.token.upper()}
    headers = {name: text.format(**words) for name, text in WRONG[wrong].items()}

    assert scene.asked(**headers) == "unauthorized"
    assert scene.table.take_used() == set()


def test_one_links_secrets_open_no_other():
    one, other = Scene(), Scene()
    table = LinkTable([one.link, other.link], uses=Tally(), clock=lambda: NOW)

    for text in (one.token, one.session()):
        with pytest.raises(Unauthorized):
            table.enter(other.link.slug, {"x-prism-token": text})


@given(st.data())
def test_a_session_that_is_changed_anywhere_opens_nothing(data):
    scene = Scene()
    session = scene.session()
    at = data.draw(st.integers(0, len(session) - 1))
    new = data.draw(st.characters(codec="latin-1").filter(lambda c: c != session[at]))

    assert scene.asked(x_prism_token=session[:at] + new + session[at + 1 :]) == "unauthorized"


@given(st.data())
def test_a_token_that_is_changed_anywhere_opens_nothing(data):
    scene = Scene()
    at = data.draw(st.integers(0, len(scene.token)))
    put = data.draw(st.text(alphabet=st.characters(codec="latin-1"), max_size=3))
    cut = data.draw(st.integers(0, 3))
    changed = scene.token[:at] + put + scene.token[at + cut :]

    assert (scene.asked(x_prism_token=changed) == "in") == (changed.strip() == scene.token)


@given(st.text(alphabet=st.characters(codec="latin-1")))
def test_no_cookie_breaks_anything(text):
    assert Scene().asked(cookie=text) == "unauthorized"
    assert Scene().asked(cookie=f"prism_session={text}") == "unauthorized"


# --- its end ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("after_s", "outcome"), [(0, "in"), (59.999, "in"), (60, "link_expired"), (1e9, "link_expired")]
)
def test_a_link_ends_at_the_second(after_s, outcome):
    scene = Scene(expires_s=60)
    scene.now += after_s

    assert scene.asked(x_prism_token=scene.token) == outcome


@pytest.mark.parametrize(("after_s", "outcome"), [(0, "in"), (43199, "in"), (43200, "unauthorized")])
def test_a_session_ends_at_the_second(after_s, outcome):
    scene = Scene()
    session = scene.session()
    scene.now += after_s

    assert scene.asked(x_prism_token=session) == outcome


def test_a_session_ends_with_its_link_at_the_latest():
    scene = Scene(expires_s=60.5)

    assert sessions.new_session(scene.link, NOW)[1] == NOW + 60


@pytest.mark.parametrize(("used", "outcome"), [(0, "in"), (2, "in"), (3, "link_expired")])
def test_a_link_ends_with_its_last_use(used, outcome):
    scene = Scene(uses=3)
    scene.tally.spend(caller_id(scene.link.slug), used)

    assert scene.asked(x_prism_token=scene.token) == outcome


@pytest.mark.parametrize(("wish", "reason"), [({"expires_s": 1}, "expired"), ({"uses": 1}, "used_up")])
def test_everybody_is_told_why_a_link_has_ended(wish, reason):
    scene = Scene(**wish)
    scene.now += 1
    scene.tally.spend(caller_id(scene.link.slug))

    with pytest.raises(LinkExpired) as told:
        scene.table.open(scene.link.slug, {})
    assert told.value.details == {"reason": reason}


def test_what_is_replaced_opens_nothing():
    scene = Scene()
    token, session = scene.token, scene.session()
    scene.table.replace([])

    assert {scene.asked(x_prism_token=text) for text in (token, session)} == {"link_not_found"}
    with pytest.raises(LinkNotFound):
        scene.table.open(scene.link.slug, {})


# --- pages of other origins --------------------------------------------------------------------------

ORIGINS = {
    "no page": ({}, {"host": "x:80"}, "in"),
    "its own": ({}, {"host": "x:80", "origin": "http://x:80"}, "in"),
    "its own, in upper case": ({}, {"host": "X.Example", "origin": "https://x.example"}, "in"),
    "its own host and another port": ({}, {"host": "x:80", "origin": "http://x:81"}, "forbidden"),
    "its own host as another scheme": ({}, {"host": "x", "origin": "ftp://x"}, "forbidden"),
    "another": ({}, {"host": "x", "origin": "https://evil.example"}, "forbidden"),
    "one below it": ({}, {"host": "x.example", "origin": "https://evil.x.example"}, "forbidden"),
    "null": ({}, {"host": "null", "origin": "null"}, "forbidden"),
    "nothing": ({}, {"host": "", "origin": "http://"}, "forbidden"),
    "empty": ({}, {"host": "", "origin": ""}, "forbidden"),
    "two": ({"origins": (APP,)}, {"host": "x", "origin": f"{APP}, {APP}"}, "forbidden"),
    "one that is named": ({"origins": (APP,)}, {"host": "x", "origin": APP}, "in"),
    "one that is not named": ({"origins": (APP,)}, {"host": "x", "origin": APP[:-1]}, "forbidden"),
    "any": ({"origins": ("*",)}, {"host": "x", "origin": "https://evil.example"}, "in"),
    "where a tunnel leads": ({}, {"host": "127.0.0.1:9", "origin": "https://tunnel.example"}, "in"),
}


@pytest.mark.parametrize("origin", ORIGINS)
def test_only_its_own_pages_use_a_link_and_those_that_it_names(origin):
    wish, headers, outcome = ORIGINS[origin]
    scene = Scene(**wish)
    scene.table.homes = lambda: ["https://tunnel.example"]

    assert scene.asked(x_prism_token=scene.token, **headers) == outcome
    if outcome == "forbidden":
        with pytest.raises(Forbidden):
            scene.table.open(scene.link.slug, headers)


HOSTS = st.sampled_from(["a.example", "b.example", "sub.a.example", "a.example.evil", "127.0.0.1", "[::1]"])
PORTS = st.sampled_from(["", ":80", ":8000"])
SCHEMES = st.sampled_from(["http", "https", "ftp", "file", "chrome-extension"])


@given(HOSTS, PORTS, SCHEMES, HOSTS, PORTS, st.lists(st.sampled_from(["https://a.example", APP]), max_size=2))
def test_any_origin_is_its_own_one_that_is_named_or_refused(host, port, scheme, page, at, named):
    scene = Scene(origins=tuple(named))
    origin = f"{scheme}://{page}{at}"
    welcome = origin in named or (scheme in ("http", "https") and page + at == host + port)
    outcome = scene.asked(x_prism_token=scene.token, host=host + port, origin=origin)

    assert outcome == ("in" if welcome else "forbidden")
