"""The mirror's replies, and the faults that can spoil them, to test how a client copes.

    Mirror(root, faults=[Fault("/normal/", "status", status=503, times=1)])

Reads   the file that a fault of kind `body` names
Writes  replies
"""
from __future__ import annotations

import gzip
import io
import json
import random
import re
import socket
import struct
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from http.client import responses
from pathlib import Path

JSON_TYPE = "application/json; charset=utf-8"
CONTENT_TYPES = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp",
                 "gz": "application/gzip", "json": "application/json"}
DELIVERIES = ("reset", "short", "stall", "drip", "endless")  # these spoil the sending, the others the reply
KINDS = ("status", "html", "empty", "redirect", "endless-redirect", "body", "truncated", "garbage", "gzip", "brotli",
         *DELIVERIES)
HTML = b"<!DOCTYPE html>\n<html><body><h1>Not an image</h1></body></html>\n"


@dataclass(frozen=True)
class Reply:
    """A reply before it is sent. `delivery` is the kind of fault that spoils the sending, if any."""
    status: int
    headers: dict[str, str]
    body: bytes = b""
    delivery: str = ""
    seconds: float = 0.0


@dataclass
class Fault:
    """A fault for every path (with query) in which the regular expression `match` is found.

    `times` limits how often it happens for each path. `fired` counts this by path. The client gets, by kind:
    status     `status` with a JSON error, and Retry-After if `retry_after` is given
    html       200 image/jpeg with an HTML page
    empty      200 image/jpeg with no bytes
    redirect   302 to `location`; endless-redirect: with a body that never ends
    body       200 with the bytes of `file`
    truncated  half the body with a matching Content-Length
    garbage    random bytes of the right length
    gzip       the reply (or `file`) packed, with Content-Encoding: gzip; brotli: only said to be packed
    reset      a connection reset and no reply
    short      the full Content-Length, half the body, then the connection closed
    stall      half the body, silence for `seconds`, then the connection closed
    drip       a byte per second for `seconds`, then the connection closed
    endless    no Content-Length and bytes until the client leaves
    """
    match: str
    kind: str
    times: int | None = None
    probability: float = 1.0
    status: int = 500
    retry_after: str | None = None
    seconds: float = 0.0
    location: str = ""
    file: str = ""
    fired: dict[str, int] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown fault kind {self.kind!r}")
        re.compile(self.match)


def content_type(path: str) -> str:
    """The Content-Type for a path's extension. It is JSON if there is none."""
    return CONTENT_TYPES.get(path.rpartition(".")[2], JSON_TYPE)


def error_reply(status: int, details: str, **more: str) -> Reply:
    """Scryfall's error object."""
    code = responses.get(status, "error").lower().replace(" ", "_")
    error = {"object": "error", "code": code, "status": status, **more, "details": details}
    return Reply(status, {"Content-Type": JSON_TYPE}, json.dumps(error).encode())


def draw_fault(faults: Iterable[Fault], target: str, rng: random.Random) -> Fault | None:
    """The first fault that applies to this request. It is counted as fired."""
    for fault in faults:
        fired = fault.fired.get(target, 0)
        wins = rng.random() < fault.probability  # drawn for each fault, so that none changes the draw of another
        if wins and (fault.times is None or fired < fault.times) and re.search(fault.match, target):
            fault.fired[target] = fired + 1
            return fault
    return None


def apply_fault(fault: Fault, reply: Reply, path: str, rng: random.Random) -> Reply:
    """The reply that the client gets instead of the correct one."""
    if fault.kind in DELIVERIES:
        status = 0 if fault.kind == "reset" else reply.status
        return replace(reply, status=status, delivery=fault.kind, seconds=fault.seconds)
    if fault.kind == "status":
        reply = error_reply(fault.status, "A fault of the mirror, as asked for.")
        retry = {} if fault.retry_after is None else {"Retry-After": fault.retry_after}
        return replace(reply, headers={**reply.headers, **retry})
    if fault.kind in ("html", "empty"):
        return Reply(200, {"Content-Type": "image/jpeg"}, HTML if fault.kind == "html" else b"")
    if fault.kind.endswith("redirect"):
        return Reply(302, {"Location": fault.location}, delivery="endless" if fault.kind != "redirect" else "")
    if fault.kind == "body":
        return Reply(200, {"Content-Type": content_type(path)}, Path(fault.file).read_bytes())
    if fault.kind in ("gzip", "brotli"):
        body = Path(fault.file).read_bytes() if fault.file else reply.body
        packed, encoding = (gzip.compress(body), "gzip") if fault.kind == "gzip" else (body, "br")
        return replace(reply, headers={**reply.headers, "Content-Encoding": encoding}, body=packed)
    size = len(reply.body)
    return replace(reply, body=rng.randbytes(size) if fault.kind == "garbage" else reply.body[:size // 2])


def reset(connection: socket.socket) -> None:
    """Reset a connection. It is detached first: a plain close waits for the handler's streams and sends FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    socket.close(connection.detach())


def send_part(stream: io.BufferedIOBase, reply: Reply, pause: Callable[[float], bool]) -> None:
    """Send part of the body, or more than there is, as `delivery` says. `pause` sleeps, and returns True to give up."""
    while reply.delivery == "endless" and not pause(0):
        stream.write(reply.body or b"x")
    drips, end = reply.delivery == "drip", time.monotonic() + reply.seconds
    stream.write(b"" if drips else reply.body[:len(reply.body) // 2])
    stream.flush()
    if reply.delivery == "stall":
        pause(reply.seconds)
    for byte in reply.body if drips else b"":
        left = end - time.monotonic()
        if left <= 0 or pause(min(1.0, left)):
            return
        stream.write(bytes([byte]))
        stream.flush()
