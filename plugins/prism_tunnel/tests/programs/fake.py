"""A fake of each program: it takes the real one's arguments, prints what the real one prints, forwards.

What is printed is recorded from the programs' sources and from logs that their users show. The public
address is in no DNS: the port that stands for it is written to FAKE_DIR. What goes wrong is named in
FAKE_MODE. Run as an executable of the program's name.
"""

import json
import os
import socket
import socketserver
import stat
import subprocess
import sys
import threading
import time
import tomllib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

NAME = Path(sys.argv[0]).name
PLACE = Path(os.environ.get("FAKE_DIR", "."))
MODE = os.environ.get("FAKE_MODE", "")
BOX = "+" + "-" * 92 + "+"
VERSIONS = {
    "cloudflared": "cloudflared version 2026.7.3 (built 2026-07-23-09:58 UTC)",
    "ngrok": "ngrok version 3.22.1",
    "tailscale": "1.98.3\n  tailscale commit: 0a1b2c3d4e5f\n  go version: go1.26.0",
    "zrok": "               _    \n _____ __ ___ | | __\n|_  / '__/ _ \\| |/ /\nv1.1.0 [3b6a9e0]",
    "zrok2": "               _    \n _____ __ ___ | | __\n|_  / '__/ _ \\| |/ /\nv2.0.4 [9c0ffee]",
    "frpc": "0.71.0",
}
REFUSALS = {
    "cloudflared": "error parsing tunnel ID: prism is neither the ID nor the name of any of your tunnels",
    "ngrok": (
        "ERROR:  authentication failed: Usage of ngrok requires a verified account and authtoken.\n"
        "ERROR:  ERR_NGROK_4018"
    ),
    "tailscale": (
        "Funnel is not enabled on your tailnet.\nTo enable, visit:\n\n"
        "         https://login.tailscale.com/f/funnel?node=nWNmPtVzjN11CNTRL\n"
    ),
    "zrok": "[ERROR]: unable to create share (unable to load environment; did you 'zrok enable'?)",
    "frpc": (
        "2026-10-06 20:18:02.936 [W] [client/service.go:323] connect to server error: token in login doesn't "
        "match token from configuration"
    ),
}
REFUSALS["zrok2"] = REFUSALS["zrok"].replace("zrok enable", "zrok2 enable")


def say(text):
    print(text, flush=True)


def value_of(option):
    return sys.argv[sys.argv.index(option) + 1]


def target():
    """Return where the program is told to lead to."""
    if NAME == "cloudflared":
        return urlsplit(value_of("--url"))
    if NAME == "ngrok":
        return urlsplit(f"//{sys.argv[2]}")
    if NAME == "frpc":
        proxy = frp()["proxies"][0]
        return urlsplit(f"//{proxy['localIP']}:{proxy['localPort']}")
    return urlsplit(sys.argv[-1])


def frp():
    path = Path(value_of("-c"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    return tomllib.loads(path.read_text())


class Forward(socketserver.BaseRequestHandler):
    """Passes on what comes, both ways, as it comes."""

    def handle(self):
        there = target()
        with socket.create_connection((there.hostname, there.port)) as inward:
            back = threading.Thread(target=pump, args=(inward, self.request))
            back.start()
            pump(self.request, inward)
            back.join()


def pump(source, drain):
    try:
        while data := source.recv(1 << 16):
            drain.sendall(data)
        drain.shutdown(socket.SHUT_WR)
    except OSError:
        pass


class Public(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 64


class Api(BaseHTTPRequestHandler):
    """The program's own HTTP interface; what it tells changes with the file "state"."""

    def do_GET(self):
        state = (PLACE / "state").read_text() if (PLACE / "state").exists() else "connected"
        if self.path == "/ready":
            ready = int(state == "connected")
            self.answer(200 if ready else 503, {"status": 200 if ready else 503, "readyConnections": ready})
        elif self.path == "/api/tunnels":
            tunnel = {"name": "command_line", "public_url": URL, "proto": "https"}
            self.answer(200, {"tunnels": [tunnel] if state == "connected" else [], "uri": "/api/tunnels"})
        else:
            self.answer(404, {})

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def api():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"127.0.0.1:{server.server_port}"


def cloudflared(name):
    stamp = "2026-11-11T19:57:55Z"
    if "run" in sys.argv:
        say(f"{stamp} INF Starting tunnel tunnelID=471a0799-077f-42b2-9d7e-21da0f069d07")
    else:
        url = f"https://{name}-dashed-word-url.trycloudflare.com"
        say(
            f"{stamp} INF Thank you for trying Cloudflare Tunnel. [...] are subject to the Cloudflare Online "
            "Services Terms of Use (https://www.cloudflare.com/website-terms/) [...] by following: "
            "https://developers.cloudflare.com/cloudflare-one/connections/connect-apps"
        )
        say(f"{stamp} INF Requesting new quick Tunnel on trycloudflare.com...")
        say(f"{stamp} INF {BOX}")
        told = "Your quick Tunnel has been created! Visit it at (it may take some time to be reachable):"
        say(f"{stamp} INF |  {told:<88}  |")
        say(f"{stamp} INF |  {url:<88}  |")
        say(f"{stamp} INF {BOX}")
        say(f"{stamp} ERR Configuration file {value_of('--config')} was empty")
    say(f"{stamp} INF Version 2026.7.3")
    say(
        f"{stamp} ERR Cannot determine default origin certificate path. No file cert.pem in [~/.cloudflared]. You "
        "need to specify the origin certificate path by specifying the origincert option in the configuration file"
    )
    say(f"{stamp} INF Starting metrics server on {api()}/metrics")
    say(
        f"{stamp} INF Registered tunnel connection connIndex=0 connection=14d73749-5329-44f2-94ad-f47cfb3c13bd "
        "event=0 ip=198.41.200.113 location=sjc07 protocol=quic"
    )


def ngrok(name):
    global URL
    url = URL = value_of("--url") if "--url" in sys.argv else f"https://{name}-pronto-ship.ngrok-free.dev"
    stamp = "t=2026-08-10T07:20:40+0000 lvl=info"
    say(f'{stamp} msg="open config file" path=/home/me/.config/ngrok/ngrok.yml err=nil')
    say(f'{stamp} msg="FIPS 140 mode" enabled=false')
    say(f'{stamp} msg="starting web service" obj=web addr={api()} allow_hosts=[]')
    say(f'{stamp} msg="client session established" obj=tunnels.session')
    say(f'{stamp} msg="tunnel session started" obj=tunnels.session')
    addr = f"http://{sys.argv[2]}"
    say(f'{stamp} msg="started tunnel" obj=tunnels name=command_line addr={addr} url={url}')


def tailscale(name):
    port = next(one.partition("=")[2] for one in sys.argv if one.startswith("--https="))
    url = f"https://{name}.tail9f3a.ts.net" + ("" if port == "443" else f":{port}")
    say(f"Available on the internet:\n\n{url}/\n|-- proxy {sys.argv[-1]}\n\nPress Ctrl+C to exit.")


def zrok(name):
    url = f"https://{name}.share.zrok.io"
    say(
        "[   1.892]    INFO main.(*sharePublicCommand).run: access your zrok share at the following endpoints:\n"
        f" {url}\n[   3.014]    INFO sdk-golang/ziti.(*listenerManager).createSessionWithBackoff: "
        "{session token=[a98cceeb-65a3-4d5d-b768-190d07b4c70e]} new service session"
    )


def zrok2(name):
    host = f"{name}.shares.zrok.io"
    message = f"access your zrok share at the following endpoints:\n {host}"
    say(json.dumps({"level": "INFO", "time": "2026-08-28T10:00:00Z", "msg": message}))


def frpc(name):
    stamp, run = "2026-10-04 01:09:24.444", "643a31968ae943ed"
    proxy = frp()["proxies"][0]
    say(f"{stamp} [I] [sub/root.go:142] start frpc service for config file [{value_of('-c')}]")
    say(f"{stamp} [I] [client/service.go:312] try to connect to server...")
    say(f"{stamp} [I] [client/service.go:332] [{run}] login to server success, get run id [{run}]")
    say(f"{stamp} [I] [proxy/proxy_manager.go:173] [{run}] proxy added: [{proxy['name']}]")
    say(f"{stamp} [I] [client/control.go:174] [{run}] [{proxy['name']}] start proxy success")


def with_a_child():
    """Start a child that heeds no signal, as a helper of a program may."""
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    code = f"{deaf}; print(1, flush=True); time.sleep(600)"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    child.stdout.readline()
    (PLACE / "child").write_text(str(child.pid))


def main():
    if sys.argv[1:] in (["--version"], ["version"]):
        say(VERSIONS[NAME])
        return
    facts = {"argv": sys.argv[1:], "environ": dict(os.environ), "pid": os.getpid()}
    (PLACE / "seen.json").write_text(json.dumps(facts))
    if MODE == "refused":
        say(REFUSALS[NAME])
        if NAME == "tailscale":  # it waits until somebody has opened the page
            time.sleep(600)
        sys.exit(1)
    if MODE == "dies":
        say("panic: runtime error: invalid memory address or nil pointer dereference")
        sys.exit(2)
    if MODE == "silent":
        time.sleep(600)
    if MODE == "child":
        with_a_child()
    if MODE == "floods":
        for _ in range(20_000):
            say("x" * 400)
    with Public(("127.0.0.1", 0), Forward) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        (PLACE / "port").write_text(str(server.server_address[1]))
        globals()[NAME](f"fake{os.getpid()}")
        if MODE == "leaks":
            say(f"debug: token {os.environ.get('NGROK_AUTHTOKEN', '')}")
            sys.exit(3)
        while True:
            time.sleep(600)


URL = ""
main()
