"""How each program is started, and what is read from what it prints: values in, values out."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_tunnel.programs.table import PROGRAMS

ROWS = {program.name: program for program in PROGRAMS}
METRICS = "--no-autoupdate --metrics 127.0.0.1:0 --grace-period 1s"


def launch(name, /, **said):
    return ROWS[name].plan(ROWS[name].config(**said), "127.0.0.1", 4321)


@pytest.mark.parametrize(
    ("name", "said", "argv"),
    [
        ("tailscale", {}, "funnel --yes --https=443 http://127.0.0.1:4321"),
        ("tailscale", {"port": 10000}, "funnel --yes --https=10000 http://127.0.0.1:4321"),
        (
            "cloudflared",
            {},
            f"tunnel {METRICS} --config {{directory}}/config.yml --url http://127.0.0.1:4321",
        ),
        (
            "cloudflared",
            {"tunnel": "t", "url": "https://a.example", "arguments": ("--protocol", "http2")},
            f"tunnel {METRICS} --protocol http2 run --url http://127.0.0.1:4321 t",
        ),
        ("ngrok", {"authtoken": "s3cret"}, "http 127.0.0.1:4321 --log stdout --log-format logfmt"),
        (
            "ngrok",
            {"url": "https://a.ngrok.app"},
            "http 127.0.0.1:4321 --log stdout --log-format logfmt --url https://a.ngrok.app",
        ),
        ("zrok", {}, "share public --headless http://127.0.0.1:4321"),
        (
            "zrok",
            {"name": "public:a"},
            "share public --headless --name-selection public:a http://127.0.0.1:4321",
        ),
        (
            "frp",
            {"server": "frps.example", "token": "s3cret", "url": "https://a.example"},
            "-c {directory}/frpc.toml",
        ),
    ],
)
def test_command_lines(name, said, argv):
    assert launch(name, **said).argv == tuple(argv.split())


@pytest.mark.parametrize(
    ("name", "said"),
    [("ngrok", {"authtoken": "s3cret"}), ("frp", {"server": "a", "url": "http://b", "token": "s3cret"})],
)
def test_a_launch_shows_no_secret(name, said):
    assert "s3cret" not in repr(launch(name, **said))


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_what_frpc_is_told_is_what_was_meant(server, token):
    text = launch("frp", server=server, token=token, url="http://models.example.org:8080/").files["frpc.toml"]
    told = tomllib.loads(text)

    assert told["serverAddr"] == server
    assert told.get("auth", {}).get("token", "") == token
    assert told["proxies"] == [
        {
            "name": "prism-4321",
            "type": "http",
            "localIP": "127.0.0.1",
            "localPort": 4321,
            "customDomains": ["models.example.org"],
        }
    ]


QUICK = "INF |  https://a-b-c.trycloudflare.com                                                            |"
# What they print that is not an address of a link, and is no refusal.
ELSE = [
    ("cloudflared", "INF Requesting new quick Tunnel on trycloudflare.com..."),
    ("cloudflared", "INF Thank you [...] Terms of Use (https://www.cloudflare.com/website-terms/) [...]"),
    ("cloudflared", 'failed to request quick Tunnel: Post "https://api.trycloudflare.com/tunnel": EOF'),
    ("cloudflared", "ERR Cannot determine default origin certificate path. [...] the origincert option"),
    ("cloudflared", 'ERR Register tunnel error from server side error="Unauthorized: Failed to get tunnel"'),
    ("ngrok", 't=1 lvl=info msg="starting web service" obj=web addr=127.0.0.1:4040 allow_hosts=[]'),
    ("ngrok", "ERROR:  ERR_NGROK_108"),
    ("zrok", "connecting to https://api-v2.zrok.io"),
    ("tailscale", "https://login.tailscale.com/a/0123456789ab"),
    ("frp", "[W] [client/service.go:323] connect to server error: dial tcp 198.51.100.7:7000: i/o timeout"),
    ("frp", "[I] [client/control.go:174] [643a31968ae943ed] [other] start proxy success"),
]


@pytest.mark.parametrize(("name", "line"), ELSE)
def test_other_lines_mean_nothing(name, line):
    signs = ROWS[name].signs

    assert not (signs.url and signs.url.search(line))
    assert not (signs.refused and signs.refused.search(line))
    assert not signs.ready.search(line)


@pytest.mark.parametrize(
    ("name", "text", "url"),
    [
        ("cloudflared", QUICK, "https://a-b-c.trycloudflare.com"),
        (
            "ngrok",
            'msg="started tunnel" obj=tunnels addr=http://localhost:1 url=https://a.ngrok.app',
            "https://a.ngrok.app",
        ),
        ("tailscale", "Available on the internet:\n\nhttps://a.ts.net/\n|-- proxy", "https://a.ts.net"),
        (
            "zrok",
            "access your zrok share at the following endpoints:\n https://a.share.zrok.io",
            "https://a.share.zrok.io",
        ),
        (
            "zrok",
            '"msg":"access your zrok share at the following endpoints:\\n a.shares.zrok.io"',
            "a.shares.zrok.io",
        ),
    ],
)
def test_an_address_is_found(name, text, url):
    assert ROWS[name].signs.url.search(text)["url"] == url


def test_interfaces_are_found():
    cloudflared, ngrok = ROWS["cloudflared"].signs.api, ROWS["ngrok"].signs.api

    assert (
        cloudflared.search("INF Starting metrics server on 127.0.0.1:20241/metrics")["api"]
        == "127.0.0.1:20241"
    )
    assert (
        ngrok.search('msg="starting web service" obj=web addr=127.0.0.1:4041 allow_hosts=[]')["api"]
        == "127.0.0.1:4041"
    )
