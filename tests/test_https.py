"""scripts/serve.py --https: a certificate that fits, is kept, and is good for nothing else."""
from __future__ import annotations

import contextlib
import fcntl
import io
import os
import pty
import re
import signal
import socket
import ssl
import stat
import struct
import subprocess
import sys
import termios
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import ROOT
from cryptography import x509

from mtg_image_db.browser import certificate
from mtg_image_db.browser.addresses import names_of, network_name, reached_host
from mtg_image_db.browser.certificate import AUTHORITY, SERVER, certificate_for
from mtg_image_db.browser.server import bound
from mtg_image_db.console import SuiteError

ADDRESSES = ["localhost", "127.0.0.1", "192.168.1.7"]


@contextlib.contextmanager
def served_encrypted(workspace, folder: Path) -> Iterator[tuple[int, list[str]]]:
    """(port, the lines at the start) of scripts/serve.py --https, which keeps its certificate below the folder. At its
    end it has said no more than that it stopped."""
    server = workspace.start("scripts/serve.py", "--https", "--host", "0.0.0.0", "--port", 0, "--read", "off",
                             XDG_DATA_HOME=str(folder))
    lines = []
    try:
        for line in server.stderr:
            lines.append(line)
            if "are at https://localhost" in line:
                break
        yield int(re.search(r"https://localhost:(\d+)", lines[-1])[1]), lines
    finally:
        server.send_signal(signal.SIGINT)
        left = server.communicate(timeout=20)[1]
    assert server.returncode == 0 and left == "Stopped.\n", left


def trusting(authority: bytes) -> ssl.SSLContext:
    """What a phone knows on which the authority is installed."""
    return ssl.create_default_context(cadata=authority)


def greeted(server: Path, authority: bytes, name: str) -> None:
    """A client that trusts the authority meets a server of this certificate under a name. Raises ssl.SSLError."""
    inner = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    inner.load_cert_chain(server)
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting(authority).wrap_bio(to_client, to_server, server_hostname=name)
    host = inner.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for end in (client, host):
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
    assert client.getpeercert()


def test_the_page_is_served_encrypted_for_every_address_and_the_certificate_stays(site, tmp_path):
    folder = tmp_path / "mtg-image-db"
    with served_encrypted(site.workspace, tmp_path) as (port, lines):
        authority = urllib.request.urlopen(f"https://localhost:{port}/certificate.crt", timeout=10,
                                           context=ssl._create_unverified_context()).read()
        for name in {"localhost", "127.0.0.1", network_name()}:
            page = urllib.request.urlopen(f"https://{name}:{port}/", timeout=10, context=trusting(authority))
            assert page.status == 200
        with socket.create_connection(("localhost", port), 10) as plain, contextlib.suppress(ConnectionError):
            plain.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert plain.recv(100) == b"", "and no traceback: see served_encrypted"
        assert any(line.startswith(f"Other devices in your network open https://{network_name()}:{port}")
                   for line in lines) and not any("\033" in line for line in lines), "a code on no terminal"
        kept = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert kept.keys() == {AUTHORITY, SERVER}
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    certificate_for(names_of("0.0.0.0"), network_name(), folder)  # as the next start does
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == kept


def test_a_new_address_needs_a_new_certificate_but_no_new_authority(tmp_path):
    first = certificate_for(ADDRESSES, ADDRESSES[-1], tmp_path)
    moved = certificate_for([*ADDRESSES[:2], "10.0.0.9"], "10.0.0.9", tmp_path)
    assert moved.authority == first.authority
    for name in (*ADDRESSES, "10.0.0.9"):
        greeted(moved.server, moved.authority, name)
    kept = moved.server.read_bytes()
    assert certificate_for(ADDRESSES, ADDRESSES[-1], tmp_path).server.read_bytes() == kept, "back in the first network"
    with pytest.raises(ssl.SSLCertVerificationError):
        greeted(moved.server, moved.authority, "10.0.0.10")


def test_another_name_of_the_machine_needs_no_new_authority_unless_devices_open_it(tmp_path, monkeypatch):
    """macOS takes its name from the network. A name may have letters that no certificate has."""
    names = ["first", "second", "Büro-Rechner-der-Familie-Größenwahn-im-Erdgeschoß", "x" * 64, "bad\udcff"]
    authorities = []
    for name in names:
        monkeypatch.setattr("socket.gethostname", lambda name=name: name)
        monkeypatch.setattr("platform.node", lambda name=name: name)
        kept = certificate_for(names_of("192.168.1.7"), "192.168.1.7", tmp_path)
        greeted(kept.server, kept.authority, "192.168.1.7")
        authorities.append(kept.authority)
    assert set(authorities) == {authorities[0]}
    greeted(kept.server, kept.authority, "first")
    for host in names[1:3]:
        kept = certificate_for(names_of(host), reached_host(host), tmp_path)
        greeted(kept.server, kept.authority, reached_host(host))
        assert kept.authority not in authorities
    with pytest.raises(SuiteError, match="no name of a machine"), bound("x" * 64, 0):
        pass


def test_what_is_damaged_or_ends_soon_is_made_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(certificate, "SERVER_DAYS", certificate.RENEW_DAYS - 1)
    old = certificate_for(ADDRESSES, ADDRESSES[-1], tmp_path)
    before = old.server.read_bytes()
    monkeypatch.undo()
    renewed = certificate_for(ADDRESSES, ADDRESSES[-1], tmp_path)
    assert renewed.server.read_bytes() != before and renewed.authority == old.authority
    for name in (SERVER, AUTHORITY):
        (tmp_path / name).write_text("damaged")
        again = certificate_for(ADDRESSES, ADDRESSES[-1], tmp_path)
        greeted(again.server, again.authority, "localhost")


def test_a_thief_of_the_key_cannot_pretend_to_be_another_site(tmp_path):
    """The authority's names are limited: what it signs for others is refused by clients that trust it."""
    authority = certificate._read(certificate_for(ADDRESSES, ADDRESSES[-1], tmp_path).server.with_name(AUTHORITY))
    kept = certificate_for(ADDRESSES, ADDRESSES[-1], tmp_path).authority
    for number, name in enumerate(("scryfall.com", "8.8.8.8", "localhost")):
        general = certificate._general(name)
        certificate._write(tmp_path / str(number), certificate._new_server([general], authority))
        expected = contextlib.nullcontext() if name == "localhost" else pytest.raises(
            ssl.SSLCertVerificationError, match="permitted subtree violation")
        with expected:
            greeted(tmp_path / str(number), kept, name)
    days = x509.load_pem_x509_certificate((tmp_path / SERVER).read_bytes())
    assert (days.not_valid_after_utc - days.not_valid_before_utc).days <= 825, "iPhones refuse more"


@pytest.mark.parametrize("columns, is_shown", [(80, True), (20, False)])
def test_a_terminal_shows_the_address_as_a_code(columns, is_shown):
    ours, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    subprocess.run([sys.executable, "-c", "from mtg_image_db.browser.addresses import show_code\n"
                    "show_code('https://192.168.1.7:8000')"], cwd=ROOT, stderr=terminal, check=True)
    os.close(terminal)
    text = io.BytesIO()
    with contextlib.suppress(OSError):  # the end of a terminal
        while part := os.read(ours, 4096):
            text.write(part)
    lines = [re.sub(r"\033\[[\d;]*m", "", line) for line in text.getvalue().decode().splitlines()]
    assert bool(lines) is is_shown
    if is_shown:
        halves = {"█": (255, 255), "▀": (255, 0), "▄": (0, 255), " ": (0, 0)}
        picture = np.array([[halves[sign][half] for sign in line] for line in lines for half in (0, 1)], np.uint8)
        enlarged = cv2.resize(picture, None, fx=8, fy=8, interpolation=cv2.INTER_NEAREST)
        assert cv2.QRCodeDetector().detectAndDecode(enlarged)[0] == "https://192.168.1.7:8000"
