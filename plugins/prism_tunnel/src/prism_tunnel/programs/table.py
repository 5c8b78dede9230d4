"""The programs, one row each: by their documentation and sources, and what they print by those.

None of them was run for this: they need the internet and accounts. Each row is tested against a fake
that prints what is recorded of the real one.
"""

from __future__ import annotations

import json
import re
from urllib.parse import urlsplit

from prism_tunnel.programs.config import (
    CloudflaredConfig,
    FrpConfig,
    NgrokConfig,
    TailscaleConfig,
    ZrokConfig,
)
from prism_tunnel.programs.program import Launch, Program, Signs

PROXY = "prism"


def _tailscale(config: TailscaleConfig, host: str, port: int) -> Launch:
    target = f"http://{host}:{port}"
    return Launch(("funnel", "--yes", f"--https={config.port}", *config.arguments, target))


def _cloudflared(config: CloudflaredConfig, host: str, port: int) -> Launch:
    # By itself it waits half a minute for requests that nobody sends any more, when it is to end.
    common = ("tunnel", "--no-autoupdate", "--metrics", "127.0.0.1:0", "--grace-period", "1s")
    target = ("--url", f"http://{host}:{port}")
    if config.tunnel:
        # `run` has a `--url` of its own: one before it would not be looked at.
        return Launch((*common, *config.arguments, "run", *target, config.tunnel), url=config.url)
    # The user's own config.yml is not meant for this; an empty one is as none.
    own = ("--config", "{directory}/config.yml")
    return Launch((*common, *own, *target, *config.arguments), files={"config.yml": ""})


def _ngrok(config: NgrokConfig, host: str, port: int) -> Launch:
    wish = ("--url", config.url) if config.url else ()
    return Launch(
        ("http", f"{host}:{port}", "--log", "stdout", "--log-format", "logfmt", *wish, *config.arguments),
        environ={"NGROK_AUTHTOKEN": config.authtoken} if config.authtoken else {},
        secrets=(config.authtoken,),
    )


def _zrok(config: ZrokConfig, host: str, port: int) -> Launch:
    wish = ("--name-selection", config.name) if config.name else ()
    return Launch(("share", "public", "--headless", *wish, *config.arguments, f"http://{host}:{port}"))


def _frp(config: FrpConfig, host: str, port: int) -> Launch:
    said = {
        "serverAddr": config.server,
        "serverPort": config.server_port,
        "loginFailExit": True,
        "log.to": "console",
        "log.disablePrintColor": True,
        **({"auth.token": config.token} if config.token else {}),
    }
    proxy = {
        "name": f"{PROXY}-{port}",
        "type": "http",
        "localIP": host,
        "localPort": port,
        "customDomains": [urlsplit(config.url).hostname],
    }
    text = f"{_toml(said)}\n[[proxies]]\n{_toml(proxy)}"
    return Launch(
        ("-c", "{directory}/frpc.toml", *config.arguments),
        files={"frpc.toml": text},
        url=config.url,
        secrets=(config.token,),
    )


def _toml(values: dict[str, object]) -> str:
    # Strings, numbers, true and lists of these are written alike in JSON and TOML, but for one sign.
    lines = (f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in values.items())
    return "".join(lines).replace("\x7f", "\\u007f")


PROGRAMS: tuple[Program, ...] = (
    Program(
        "tailscale",
        rank=30,
        commands=("tailscale",),
        config=TailscaleConfig,
        plan=_tailscale,
        # cmd/tailscale/cli/serve_v2.go: "Available on the internet:", a blank line, the address
        signs=Signs(
            ready=re.compile(r"Available on the internet:"),
            url=re.compile(r"Available on the internet:\s+(?P<url>https://[A-Za-z0-9.-]+(?::\d+)?)"),
            refused=re.compile(
                r"Funnel is not enabled on your tailnet[^/]*https://\S+|Funnel not available.*"
                r"|.*[Aa]ccess denied.*|.*(?:Logged out|not logged in).*|.*already exists under this port.*"
                r"|.*background configuration already exists.*"
            ),
        ),
        version=(("version",), re.compile(r"^(?P<version>\d+\.\d+\S*)", re.M)),
        get="https://tailscale.com/download",
        needs="`tailscale up`, HTTPS and Funnel in the tailnet, and without root `tailscale set --operator`",
        docs="https://tailscale.com/docs/reference/tailscale-cli/funnel",
    ),
    Program(
        "cloudflared",
        rank=40,
        commands=("cloudflared",),
        config=CloudflaredConfig,
        plan=_cloudflared,
        # cmd/cloudflared/tunnel/quick_tunnel.go prints the address in a box
        signs=Signs(
            ready=re.compile(r"Registered tunnel connection|Connection \S+ registered"),
            url=re.compile(r"\|\s+(?P<url>https://[A-Za-z0-9.-]+)\s+\|"),
            # Not "Unauthorized" and "origincert": it tells of both, and connects nevertheless.
            refused=re.compile(
                r".*is neither the ID nor the name of any of your tunnels.*|.*credentials file not found.*"
            ),
            api=re.compile(r"Starting metrics server on (?P<api>[\d.]+:\d+)/metrics"),
            healthy="/ready",
        ),
        version=(("--version",), re.compile(r"cloudflared version (?P<version>\S+)")),
        get="https://developers.cloudflare.com/cloudflare-one/networks/connectors/cloudflare-tunnel/downloads/",
        needs="nothing for a quick tunnel; else `cloudflared tunnel login`, `create` and `route dns`, once",
        docs="https://developers.cloudflare.com/cloudflare-one/networks/connectors/cloudflare-tunnel/",
    ),
    Program(
        "ngrok",
        rank=50,
        commands=("ngrok",),
        config=NgrokConfig,
        plan=_ngrok,
        # msg="started tunnel" obj=tunnels name=command_line addr=http://... url=https://...
        signs=Signs(
            ready=re.compile(r'msg="started tunnel"'),
            url=re.compile(r'msg="started tunnel".* url=(?P<url>https://\S+)'),
            refused=re.compile(r".*ERR_NGROK_(?:105|106|107|4018)\b.*"),
            api=re.compile(r'msg="starting web service".* addr=(?P<api>\S+:\d+)'),
            healthy="/api/tunnels",
            shows_url=True,
        ),
        version=(("version",), re.compile(r"ngrok version (?P<version>\S+)")),
        get="https://ngrok.com/download",
        needs="an account, and its token by `ngrok config add-authtoken` or `plugins.ngrok.authtoken`",
        docs="https://ngrok.com/docs/agent/",
    ),
    Program(
        "zrok",
        rank=60,
        commands=("zrok2", "zrok"),
        config=ZrokConfig,
        plan=_zrok,
        # cmd/zrok2/sharePublic.go; in JSON where it writes that, and zrok 2 leaves the scheme out
        signs=Signs(
            ready=re.compile(r"access your zrok share at the following endpoints?:"),
            url=re.compile(
                r"share at the following endpoints?:(?:\s|\\n)+"
                r"(?P<url>(?:https?://)?[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+(?::\d+)?)"
            ),
            refused=re.compile(
                r".*did you 'zrok2? enable'.*|.*unable to create share.*(?:Unauthorized|conflict).*"
            ),
        ),
        version=(("version",), re.compile(r"(?P<version>v\d+\.\d+\S*)")),
        get="https://docs.zrok.io/docs/guides/install/",
        needs="an account, and `zrok enable TOKEN` once on this machine",
        docs="https://docs.zrok.io/docs/concepts/sharing-public",
        forwards="",
    ),
    Program(
        "frp",
        rank=70,
        commands=("frpc",),
        config=FrpConfig,
        plan=_frp,
        # client/control.go: "[NAME] start proxy success" or "[NAME] start error: ..."
        signs=Signs(
            ready=re.compile(rf"\[(?:\S+\.)?{PROXY}-\d+\] start proxy success"),
            refused=re.compile(
                r".*token in login doesn't match.*|.*authorization failed.*"
                rf"|.*\[(?:\S+\.)?{PROXY}-\d+\] start error: .*"
            ),
        ),
        version=(("--version",), re.compile(r"(?P<version>\d+\.\d+\.\d+)")),
        get="https://github.com/fatedier/frp/releases",
        needs="a frps of your own with `vhostHTTPPort`, and `server` and `url` of `plugins.frp`",
        docs="https://gofrp.org/en/docs/",
    ),
)
