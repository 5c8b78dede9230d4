"""A certificate authority of this server alone, in its data directory, and the certificate that it signs.

``tls/ca.pem`` is what others trust, ``tls/ca.key`` never leaves its directory, and ``tls/server.pem``
holds the server's certificate and its key in one file, so that both are replaced at once.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from prism_core.errors import ConfigError
from prism_core.rest.tls.names import Address, Names, Permitted, permitted_here

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

AUTHORITY_DAYS = 3650
# Apple refuses more than 825 days; renewal is free.
LEAF_DAYS = 90
# Renewed when so much of its time is left.
RENEW_DAYS = 30
# Clocks of other machines in the house may be behind.
BACKDATED = datetime.timedelta(days=1)


@attrs.frozen
class Files:
    """Where the authority and what it signed lie in a data directory."""

    ca: Path
    ca_key: Path
    server: Path

    @classmethod
    def of(cls, data_dir: Path) -> Files:
        """Return the files of a data directory."""
        place = data_dir / "tls"
        return cls(place / "ca.pem", place / "ca.key", place / "server.pem")


@attrs.frozen
class Authority:
    """An authority that can sign."""

    certificate: x509.Certificate
    key: EllipticCurvePrivateKey

    @property
    def permitted(self) -> Permitted:
        """What it may vouch for."""
        from cryptography import x509

        found = self.certificate.extensions.get_extension_for_class(x509.NameConstraints).value
        subtrees = found.permitted_subtrees or ()
        hosts = tuple(one.value for one in subtrees if isinstance(one, x509.DNSName))
        networks: list[Any] = [one.value for one in subtrees if isinstance(one, x509.IPAddress)]
        return Permitted(hosts, tuple(networks))


def open_authority(files: Files, hostname: str, addresses: Sequence[Address] = ()) -> Authority:
    """Return the authority of a data directory, made at the first time for this machine.

    Raises
    ------
    ConfigError
        If only one of its two files is there, or they cannot be read.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    files.ca.parent.mkdir(mode=0o700, exist_ok=True)
    if not files.ca.exists() and not files.ca_key.exists():
        return _made(files, hostname, permitted_here(hostname, addresses))
    try:
        certificate = x509.load_pem_x509_certificate(files.ca.read_bytes())
        key: Any = load_pem_private_key(files.ca_key.read_bytes(), None)
        if key.public_key() != certificate.public_key():
            raise ValueError("the key is another one's")
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(
            f"The local certificate authority in {str(files.ca.parent)!r} cannot be used: {error}.",
            hint="Restore ca.pem and ca.key, or remove both: a new one is made, and has to be trusted anew.",
        ) from error
    return Authority(certificate, key)


def _made(files: Files, hostname: str, permitted: Permitted) -> Authority:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in permitted.hosts]
    names += [x509.IPAddress(network) for network in permitted.networks]
    subject = _name(f"PRISM on {hostname}"[:64])
    certificate = (
        _builder(subject, subject, key.public_key(), AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.NameConstraints(names, None), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    _write(files.ca_key, _pem(key), 0o600)
    _write(files.ca, _pem(certificate), 0o644)
    return Authority(certificate, key)


def issue(authority: Authority, names: Names, path: Path) -> None:
    """Write a new certificate for ``names``, with its key and the authority's certificate, to ``path``."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID

    key = ec.generate_private_key(ec.SECP256R1())
    issuer = authority.certificate
    alternatives: list[x509.GeneralName] = [x509.DNSName(host) for host in names.hosts]
    alternatives += [x509.IPAddress(address) for address in names.addresses]
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    certificate = (
        _builder(_name("PRISM"), issuer.subject, key.public_key(), LEAF_DAYS)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(identifier, critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    _write(path, _pem(key) + _pem(certificate) + _pem(issuer), 0o600)


def is_due(path: Path, names: Names, authority: Authority, now: datetime.datetime) -> str:
    """Return why the certificate in ``path`` has to be made anew, "" where it is good."""
    from cryptography import x509

    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        certificate.verify_directly_issued_by(authority.certificate)
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except Exception:  # none, half of one, another authority's: whatever it is, it is none of ours
        return "there is none"
    if certificate.not_valid_after_utc - now < datetime.timedelta(days=RENEW_DAYS):
        return "it ends soon"
    hosts = tuple(sorted(found.get_values_for_type(x509.DNSName)))
    addresses = set(found.get_values_for_type(x509.IPAddress))
    same = hosts == names.hosts and addresses == set(names.addresses)
    return "" if same else "the names or addresses of this machine have changed"


def fingerprint(pem: bytes) -> str:
    """Return the SHA-256 of a certificate as programs show it: ``AB:CD:...``."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    return x509.load_pem_x509_certificate(pem).fingerprint(hashes.SHA256()).hex(":").upper()


def _builder(subject: x509.Name, issuer: x509.Name, key: Any, days: int) -> x509.CertificateBuilder:
    from cryptography import x509

    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _name(text: str) -> x509.Name:
    from cryptography import x509

    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _usage(*, signs: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(thing: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    if hasattr(thing, "public_bytes"):
        return bytes(thing.public_bytes(Encoding.PEM))
    return bytes(thing.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _write(path: Path, data: bytes, mode: int) -> None:
    """Replace a file in one step; it was never readable by more than ``mode`` says."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.unlink(missing_ok=True)
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)
