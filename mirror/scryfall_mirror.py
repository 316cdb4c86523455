"""A local mirror of Scryfall over HTTP/1.1, for tests, the demo and work by hand.

    python mirror/scryfall_mirror.py --root drawn --port 8765

One origin replaces api.scryfall.com, data.scryfall.io and cards.scryfall.io. Only the path decides which of them
answers (replies.py). The mirror can also fail on demand (faults.py).

Reads   the files under the root that replies.py names, and the list of faults
Writes  nothing
"""
from __future__ import annotations

import contextlib
import json
import random
import re
import socket
import socketserver
import sys
import threading
import time
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mirror.faults import Fault, Reply, apply_fault, draw_fault, error_reply, reset, send_part
from mirror.replies import (
    BULK_PATH,
    IMAGE_PREFIXES,
    Headers,
    Served,
    api_reply,
    apply_conditions,
    bulk_reply,
    image_reply,
)
from mtg_image_db.arguments import ArgumentParser, directory, existing_file, number
from mtg_image_db.console import EXIT_ERROR, EXIT_INTERRUPTED, SuiteError, entry_point, require_directory, say


@dataclass(frozen=True)
class Request:
    """A received request, with header names in Title-Case. status 0 means that the connection was reset."""
    time_monotonic: float
    method: str
    path: str
    headers: dict[str, str]
    status: int


class _Server(socketserver.ThreadingTCPServer):  # http.server's asks the resolver for its name, which can take seconds
    daemon_threads = allow_reuse_address = True
    request_queue_size = 512

    def __init__(self, mirror: Mirror) -> None:
        self.mirror = mirror
        self.connections: set[Any] = set()
        super().__init__((mirror.host, mirror.port), _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self.connections.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server_version, sys_version = "scryfall-mirror", ""
    wbufsize = 1 << 16  # header and body of a small reply are sent in one packet

    def do_GET(self) -> None:
        mirror, received = self.server.mirror, time.monotonic()
        reply = mirror.reply_to(self.path, self.headers)
        if reply.delivery != "reset":  # kept in the buffer until the body follows: the latency is all the work's
            self._prepare_head(reply)
        mirror.pause(mirror.latency - (time.monotonic() - received))
        headers = {name.title(): value for name, value in self.headers.items()}
        mirror.requests.append(Request(received, self.command, self.path, headers, reply.status))
        if mirror.verbose:
            print(f"{self.command} {self.path} {reply.status}", file=sys.stderr, flush=True)
        self.close_connection |= bool(reply.delivery)
        if reply.delivery == "reset":
            reset(self.connection)
            return
        if self.command == "GET" and reply.delivery:
            send_part(self.wfile, reply, mirror.pause)
        elif self.command == "GET":
            self.wfile.write(reply.body)

    do_HEAD = do_GET

    def _prepare_head(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.status != 304 and reply.delivery != "endless":
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string((timestamp or time.time()) + self.server.mirror.clock_ahead)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Mirror:
    """A Scryfall mirror in threads of this process. It runs from `start` to `stop`, or as a context manager.

    `requests` holds every request answered so far. `faults` and `latency` (seconds before each reply) may be changed
    while it runs. Random choices depend only on seed, path and attempt, not on the order of threads. After a stop, it
    starts again at the same port. prefix is a path below which everything is: "/scryfall". clock_ahead is in seconds.
    printings is a file to answer default_cards with.
    """

    def __init__(self, root: Path, *, port: int = 0, latency: float = 0.0, rewrite_hosts: bool = False,
                 legacy: bool = False, faults: Iterable[Fault] = (), seed: int = 0,
                 host: str = "127.0.0.1", verbose: bool = False, prefix: str = "", clock_ahead: float = 0.0,
                 printings: Path | None = None) -> None:
        self.root, self.host, self.port = Path(root), host, port
        self.latency, self.rewrite_hosts, self.legacy, self.printings = latency, rewrite_hosts, legacy, printings
        self.prefix, self.clock_ahead = prefix, clock_ahead
        self.faults, self.seed, self.verbose = list(faults), seed, verbose
        self.requests: list[Request] = []
        self._attempts: dict[str, int] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._server: _Server | None = None

    @property
    def url(self) -> str:
        """The address. Its port is known once the mirror has started."""
        return f"http://{self.host}:{self.port}{self.prefix}"

    def start(self) -> Mirror:
        """Listen and serve. Raises OSError if the address is taken."""
        self._server = _Server(self)
        self.port = self._server.server_address[1]
        self._stopping.clear()
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Stop listening and close every open connection."""
        server, self._server = self._server, None
        if server is None:
            return
        self._stopping.set()
        server.shutdown()
        server.server_close()
        for connection in list(server.connections):
            with contextlib.suppress(OSError):  # it may have closed meanwhile
                connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Mirror:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def pause(self, seconds: float) -> bool:
        """Sleep for these seconds, or until the mirror stops. Returns True if it was stopped."""
        return self._stopping.wait(seconds) if seconds > 0 else self._stopping.is_set()

    def reply_to(self, target: str, headers: Headers) -> Reply:
        """The reply to a request for a path with query, with faults applied."""
        path = target.partition("?")[0]
        if not path.startswith(self.prefix):
            return error_reply(404, "Nothing is outside the mirror's path.")
        path = path.removeprefix(self.prefix)
        with self._lock:
            attempt = self._attempts[target] = self._attempts.get(target, 0) + 1
            rng = random.Random(f"{self.seed} {target} {attempt}")
            fault = draw_fault(list(self.faults), target, rng)
        reply = apply_conditions(self._true_reply(path, headers), headers)
        return apply_fault(fault, reply, path, rng) if fault else reply

    def _true_reply(self, path: str, headers: Headers) -> Reply:
        served = Served(self.root, self.url if self.rewrite_hosts else None, self.legacy, self.printings)
        try:
            if path.startswith(IMAGE_PREFIXES):
                return image_reply(self.root, path, headers)
            if BULK_PATH.fullmatch(path):
                return bulk_reply(served, path)
            return api_reply(served, path, headers)
        except (OSError, EOFError, zlib.error) as error:
            return error_reply(500, f"The bulk file cannot be read: {error}")


@entry_point
def main(argv: list[str] | None = None) -> int:
    """Serve until Ctrl-C."""
    parser = ArgumentParser(__doc__)
    parser.add_argument("--root", type=directory, default=Path("drawn"), metavar="DIR",
                        help="folder with the bulk file and images/ (default: drawn)")
    parser.add_argument("--host", default="127.0.0.1", metavar="HOST", help="where to listen (default: 127.0.0.1)")
    parser.add_argument("--port", type=number(int, 0, 65535), default=8765, metavar="N",
                        help="0 to 65535, 0 takes a free one (default: 8765)")
    parser.add_argument("--latency-ms", type=number(float, 0), default=0.0, metavar="MS",
                        help="wait before each reply (default: 0)")
    parser.add_argument("--rewrite-hosts", action="store_true", help="replace Scryfall's hosts in JSON by this origin")
    parser.add_argument("--legacy", action="store_true", help="bulk data as before 2026-07-20")
    parser.add_argument("--printings", type=existing_file, metavar="FILE",
                        help="a bulk file to answer default_cards with (default: that of the root)")
    parser.add_argument("--faults", type=existing_file, metavar="FILE",
                        help="a JSON list of faults (mirror/faults.py)")
    parser.add_argument("--verbose", action="store_true", help="a line for each request on stderr")
    args = parser.parse(argv)
    require_directory(args.root, "mirror's", "Draw one: python mirror/drawn_cards.py drawn", EXIT_ERROR)
    try:
        faults = [Fault(**entry) for entry in json.loads(args.faults.read_bytes())] if args.faults else []
    except (ValueError, TypeError, re.error) as error:
        raise SuiteError("Invalid Arguments", "the list of faults cannot be used", f"--faults {args.faults}: {error}",
                         "mirror/faults.py says what a fault has.") from error
    mirror = Mirror(args.root, port=args.port, latency=args.latency_ms / 1000, faults=faults, host=args.host,
                    rewrite_hosts=args.rewrite_hosts, legacy=args.legacy, verbose=args.verbose,
                    printings=args.printings)
    try:
        mirror.start()
    except OSError as error:
        raise SuiteError("Configuration Error", "the mirror cannot listen", f"{mirror.url}: {error.strerror}",
                         "Use another --port.") from error
    say(f"Serving {args.root} at {mirror.url} (Ctrl-C ends). To use it:\n  export MTG_SCRYFALL_API={mirror.url}")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        mirror.stop()
    return EXIT_INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
