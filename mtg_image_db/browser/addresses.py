"""The addresses under which a server is reached, and how a person takes one to a phone.

    address = f"http://{network_name()}:8000"
    show_code(address)

Reads   the names and addresses of this machine
Writes  a QR code to stderr, if that is a terminal
"""
from __future__ import annotations

import contextlib
import io
import ipaddress
import os
import socket
import sys

LOOPBACK, EVERYWHERE = "127.0.0.1", "0.0.0.0"


def shown_host(host: str) -> str:
    """The host to open on this machine."""
    return "localhost" if host in (LOOPBACK, EVERYWHERE) else host


def is_this_machine_only(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def network_name() -> str:
    """This machine's address in its network. localhost if it has none. Sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect(("10.255.255.255", 1))  # UDP: only chooses the network card
        return str(probe.getsockname()[0])
    return "localhost"


def reached_host(host: str) -> str:
    """The name (in ASCII) or address under which other devices reach a server that listens at host."""
    return network_name() if host == EVERYWHERE else _ascii(host)


def names_of(host: str) -> list[str]:
    """The names and addresses under which a server that listens at host is reached, as certificates and browsers write
    them: in ASCII. A name that cannot be written so is left out."""
    names = map(_ascii, (socket.gethostname(), reached_host(host)))
    return list(dict.fromkeys(name for name in ("localhost", LOOPBACK, *names) if name))


def _ascii(name: str) -> str:
    with contextlib.suppress(UnicodeError):  # of more than 63 letters between two dots, or not of the system's coding
        return name.encode("idna").decode()
    return ""


def show_code(address: str) -> None:
    """The address as a QR code, if stderr is a terminal that is wide enough. White on black, whatever its colours."""
    import segno

    code, text = segno.make(address, micro=False), io.StringIO()
    if sys.stderr.isatty() and os.get_terminal_size(sys.stderr.fileno()).columns >= code.symbol_size()[0]:
        code.terminal(text, compact=True)
        for line in text.getvalue().splitlines():
            print(f"\033[97;40m{line}\033[0m", file=sys.stderr)
