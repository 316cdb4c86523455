"""The server of the page and of the service.

    with bound("127.0.0.1", 8000) as listening:
        serve(application(site, open_index(site.index_dir), ["127.0.0.1"]), listening)

Starlette and uvicorn (both BSD) speak HTTP: well-kept, small, and used by most Python services.
Reads   what page.py and api.py read
Writes  nothing
"""
from __future__ import annotations

import contextlib
import errno
import ipaddress
import logging
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from mtg_image_db.browser import api
from mtg_image_db.browser.page import page_of
from mtg_image_db.browser.site import Site
from mtg_image_db.console import SuiteError
from mtg_image_db.recognition.open_index import OpenIndex

LAST_ANSWERS_SECONDS = 4  # after Ctrl-C
AUTHORITY_PATH = "/certificate.crt"
BACKLOG = 128  # clients that may connect before the server accepts them


def application(site: Site, index: OpenIndex | None, hosts: Sequence[str], origins: Sequence[str] = (),
                authority: bytes = b"") -> ASGIApp:
    """The page and the service. Without an index, only the page. hosts are the names that requests may be sent to.
    origins are the pages of other sites that may ask. authority is a certificate that phones may install."""
    routes = [*(api.routes(index) if index else ()), Route("/{name:path}", page_of(site))]
    if authority:
        answer = Response(authority, media_type="application/x-x509-ca-cert")
        routes.insert(0, Route(AUTHORITY_PATH, lambda _: answer))
    app: ASGIApp = Starlette(routes=routes)
    if origins:
        app = CORSMiddleware(app, allow_origins=list(origins), allow_methods=["GET", "POST"], allow_headers=["*"])
    return _HostCheck(app, {name.lower() for name in (*hosts, "localhost")})


class _HostCheck:
    """Refuses requests to other names than ours. A page of another site could else give its own name this address (DNS
    rebinding), and read the answers. Plain addresses are safe: no page has them as its name."""

    def __init__(self, app: ASGIApp, names: set[str]) -> None:
        self._app, self._names = app, names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        host = next((value.decode("latin-1") for name, value in scope.get("headers", ()) if name == b"host"), "")
        answer = self._app if self._is_ours(host) else PlainTextResponse(f"This server is not {host[:100]}.", 421)
        await answer(scope, receive, send)

    def _is_ours(self, host: str) -> bool:
        name = ""
        with contextlib.suppress(ValueError):
            name = urlsplit(f"//{host}").hostname or ""
            return bool(ipaddress.ip_address(name))
        return name in self._names


def serve(app: ASGIApp, listening: socket.socket, certificate: Path | None = None) -> None:
    """Serve the application until Ctrl-C. Then give the last answers, for at most LAST_ANSWERS_SECONDS. With a file of
    a certificate and its key, serve https."""
    with serving(app, listening, certificate) as ended:
        ended.wait()


@contextlib.contextmanager
def serving(app: ASGIApp, listening: socket.socket, certificate: Path | None = None) -> Iterator[threading.Event]:
    """Serve the application in a thread during the block. In the main thread, uvicorn would take the signals, which
    console.entry_point handles. The event is set when it has ended: Thread.join forgets a thread after Ctrl-C."""
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # the answer says what is wrong with a body
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off",
                                           server_header=False, timeout_graceful_shutdown=LAST_ANSWERS_SECONDS,
                                           ssl_certfile=certificate))
    ended = threading.Event()

    def run() -> None:
        try:
            server.run([listening])
        finally:
            ended.set()

    threading.Thread(target=run, daemon=True).start()
    try:
        yield ended
    finally:
        server.should_exit = True
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # it would trace each photo that is cut short
        ended.wait(LAST_ANSWERS_SECONDS + 1)


@contextlib.contextmanager
def bound(host: str, port: int) -> Iterator[socket.socket]:
    """A socket bound to the address. It does not listen yet. host 127.0.0.1 is for this machine only, 0.0.0.0 for the
    whole network. Port 0 takes a free one. Raises SuiteError if the address cannot be used."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _refused(host, port, error) from error
    except UnicodeError as error:  # of more than 63 letters between two dots
        raise _refused(host, port, OSError(errno.EINVAL, "this can be no name of a machine")) from error
    with listening:
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(BACKLOG)  # finds a server that is there already, which bind alone may not
        except OSError as error:
            raise _refused(host, port, error) from error
        yield listening


def _refused(host: str, port: int, error: OSError) -> SuiteError:
    taken = error.errno in (errno.EADDRINUSE, errno.EACCES)
    return SuiteError("Configuration Error", "the address cannot be used",
                      f"--host {host} --port {port}: {error.strerror}",
                      f"Use another: --port {port % 65535 + 1}." if taken else
                      "Use --host 127.0.0.1, --host 0.0.0.0 or an address of this machine.")
