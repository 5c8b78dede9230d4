"""``prism trust``: how other machines come to believe this server's certificate."""

from __future__ import annotations

import shlex
from pathlib import Path

import rich_click as click

from prism_core.cli.client import data_dir_of, running_server
from prism_core.cli.options import Common, command
from prism_core.cli.output import write_json
from prism_core.cli.trusting import authority_of
from prism_core.errors import ConfigError

# Where -> what is typed or tapped there; {ca} is the file, {url} an address of a server.
STEPS = {
    "curl": "curl --cacert {ca} {url}",
    "Python": "httpx.get(url, verify=ssl.create_default_context(cafile={quoted}))\n"
    "requests.get(url, verify={quoted})      # or REQUESTS_CA_BUNDLE={ca} in the environment",
    "prism": "prism predict {url}/model/NAME/predict rows.json --ca {ca}   # or PRISM_CA={ca}",
    "Debian, Ubuntu": "sudo cp {ca} /usr/local/share/ca-certificates/prism.crt\nsudo update-ca-certificates",
    "Fedora, RHEL": "sudo cp {ca} /etc/pki/ca-trust/source/anchors/prism.pem\nsudo update-ca-trust",
    "Chrome on Linux": "certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n PRISM -i {ca}",
    "macOS": "sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain {ca}",
    "Windows": "certutil -user -addstore Root ca.pem",
    "Firefox": "Settings, Privacy & Security, View Certificates, Authorities, Import: ca.pem, for websites",
    "iOS, iPadOS": "Send ca.pem to the device, open it; Settings, General, VPN & Device Management: install\n"
    "it; then Settings, General, About, Certificate Trust Settings: switch it on",
    "Android": "Send ca.pem to the device; Settings, Security, Encryption & credentials,\n"
    "Install a certificate, CA certificate",
}
EXAMPLES = """
prism trust
prism trust --pem > ca.pem      # for another machine
prism trust --json
"""


@command("trust", examples=EXAMPLES)
@click.option("--pem", is_flag=True, help="Print the certificate of the authority and nothing else.")
def trust(pem: bool) -> None:
    """Explain how to trust the certificate of `prism serve --tls self-signed`.

    The server signs it with an authority of its own, which is made once and kept in the
    data directory. It can vouch for local names and addresses only. Changes nothing.
    """
    common = Common.of()
    data_dir = data_dir_of(common)
    path = authority_of(data_dir)
    if path is None:
        raise ConfigError(
            f"There is no certificate authority in {str(data_dir)!r} yet.",
            hint="`prism serve --tls self-signed` makes it; --data-dir names another server's directory.",
        )
    from prism_core.rest.tls.authority import fingerprint

    text = path.read_text()
    sha256 = fingerprint(text.encode())
    if common.json:
        write_json({"path": str(path), "sha256": sha256, "pem": text})
    elif pem:
        click.echo(text, nl=False)
    else:
        running = running_server(data_dir)
        _explain(path, sha256, running["public"] if running else "https://ADDRESS:8000")


def _explain(path: Path, sha256: str, url: str) -> None:
    click.echo(f"Authority  {click.style(str(path), bold=True)}\nSHA-256    {sha256}\n")
    click.echo(
        "A client that trusts it reaches this server over https. Compare the fingerprint after you have\n"
        "sent the file to another device. It can vouch for local names and addresses only.\n"
    )
    words = {"ca": shlex.quote(str(path)), "quoted": repr(str(path)), "url": url}
    for place, steps in STEPS.items():
        click.secho(place, bold=True)
        for line in steps.format(**words).splitlines():
            click.echo(f"  {line}")
