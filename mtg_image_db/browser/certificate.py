"""The certificate of scripts/serve.py --https, and the authority that signs it.

    kept = certificate_for(["localhost", "127.0.0.1", "192.168.1.7"], "192.168.1.7", user_folder())
    serve(app, listening, kept.server)

A phone warns of the certificate, or does not if a person installs the authority on it. So the authority stays: it signs
the next certificate when one expires, or when this machine has a new address. What it signs is valid for the addresses
of private networks and for this machine's names only. A thief of its key cannot pretend to be another site. A name that
the machine got later (macOS takes one from the network) is left out, unless it is the one that devices are to open.

cryptography (Apache-2.0 or BSD, 17 MB with what it needs, a release each month) makes both. trustme, which needs it
too, has no authority of limited names, and is made for tests.
Reads   authority.pem and server.pem in the folder
Writes  the two, each with its key and for the owner only, if they are missing, damaged, expired or of other addresses
"""
from __future__ import annotations

import contextlib
import datetime
import ipaddress
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mtg_image_db.common import atomic_file

SERVER, AUTHORITY = "server.pem", "authority.pem"
SERVER_DAYS = 800  # iPhones refuse a certificate of more than 825 days
AUTHORITY_DAYS = 3650
RENEW_DAYS = 30  # before the end
KEPT_NAMES = 20  # of a laptop's earlier networks: there, phones that accepted the certificate are not asked again
PRIVATE = [*map(ipaddress.ip_network, ("10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
                                       "192.168.0.0/16", "::1/128", "fc00::/7", "fe80::/10"))]


@dataclass(frozen=True)
class Certificate:
    """server: the file with the server's certificate and key. authority: what a phone may install, as DER."""
    server: Path
    authority: bytes


@dataclass(frozen=True)
class _Signed:
    """A certificate with its key."""
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def user_folder() -> Path:
    """Where this user's certificates are kept between runs."""
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "mtg-image-db"


def certificate_for(names: Sequence[str], reached: str, folder: Path) -> Certificate:
    """A certificate for these names and addresses, in ASCII: the kept one if it serves. reached is the one of them that
    other devices open: if the authority may not sign it, there is a new authority. Raises OSError if the folder cannot
    be written."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    wanted = [_general(name) for name in dict.fromkeys(names)]
    authority = _read(folder / AUTHORITY)
    if authority is None or not _may_sign(authority.certificate, [_general(reached)]):
        authority = _new_authority(wanted)
        _write(folder / AUTHORITY, authority)
    wanted = [name for name in wanted if _may_sign(authority.certificate, [name])]
    server = _read(folder / SERVER)
    if server and not _is_signed_by(server.certificate, authority.certificate):
        server = None
    old = list(_names(server.certificate)) if server else []
    if server is None or not set(wanted) <= set(old):
        again = [name for name in old if name not in wanted and _may_sign(authority.certificate, [name])]
        _write(folder / SERVER, _new_server([*wanted, *again[:KEPT_NAMES]], authority))
    return Certificate(folder / SERVER, authority.certificate.public_bytes(serialization.Encoding.DER))


def _new_authority(wanted: Iterable[x509.GeneralName]) -> _Signed:
    name = f"MTG image database on {platform.node()}".encode(errors="ignore")[:64].decode(errors="ignore")
    named = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    key = ec.generate_private_key(ec.SECP256R1())
    limits = [x509.IPAddress(network) for network in PRIVATE]
    builder = (_builder(named, named, key, AUTHORITY_DAYS)
               .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
               .add_extension(_usage(signs=True), critical=True)
               .add_extension(x509.NameConstraints([*limits, *_beyond(wanted)], None), critical=True))
    return _Signed(builder.sign(key, hashes.SHA256()), key)


def _new_server(names: Sequence[x509.GeneralName], authority: _Signed) -> _Signed:
    named = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "MTG image database")])
    key = ec.generate_private_key(ec.SECP256R1())
    signer = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (_builder(named, authority.certificate.subject, key, SERVER_DAYS)
               .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
               .add_extension(_usage(signs=False), critical=True)
               .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
               .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(signer), critical=False)
               .add_extension(x509.SubjectAlternativeName(names), critical=False))
    return _Signed(builder.sign(authority.key, hashes.SHA256()), key)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey,
             days: int) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.timezone.utc)
    day = datetime.timedelta(days=1)
    return (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - day).not_valid_after(now + (days - 1) * day)  # a phone's clock may be slow
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False))


def _usage(signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(digital_signature=not signs, key_cert_sign=signs, crl_sign=signs, content_commitment=False,
                         key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False,
                         decipher_only=False)


def _general(name: str) -> x509.GeneralName:
    with contextlib.suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(name))
    return x509.DNSName(name)


def _names(certificate: x509.Certificate) -> Iterable[x509.GeneralName]:
    return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value


def _beyond(names: Iterable[x509.GeneralName]) -> list[x509.GeneralName]:
    """What an authority must be allowed to sign beside the private networks."""
    return [x509.IPAddress(ipaddress.ip_network(name.value)) if isinstance(name, x509.IPAddress) else name
            for name in names
            if not isinstance(name, x509.IPAddress) or not any(name.value in network for network in PRIVATE)]


def _may_sign(authority: x509.Certificate, names: Iterable[x509.GeneralName]) -> bool:
    limits = authority.extensions.get_extension_for_class(x509.NameConstraints).value
    return set(_beyond(names)) <= set(limits.permitted_subtrees or ())


def _is_signed_by(server: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        server.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _read(path: Path) -> _Signed | None:
    """None if the file is missing, damaged, or about to expire."""
    try:
        data = path.read_bytes()
        certificate = x509.load_pem_x509_certificate(data)
        key = serialization.load_pem_private_key(data, None)
    except (FileNotFoundError, ValueError):
        return None
    left = certificate.not_valid_after_utc - datetime.datetime.now(datetime.timezone.utc)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or left.days < RENEW_DAYS:
        return None
    return _Signed(certificate, key)


def _write(path: Path, signed: _Signed) -> None:
    with atomic_file(path) as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(signed.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                            serialization.NoEncryption()))
        file.write(signed.certificate.public_bytes(serialization.Encoding.PEM))
