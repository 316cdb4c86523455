"""The service: name the cards in a picture, search cards by name, and find similar ones, over HTTP.

    curl -F image=@photo.jpg http://127.0.0.1:8000/api/name

Two photos are named at a time, and some more wait. Every error is a status with JSON: error, details, suggestion.
Reads   the index
Writes  nothing
"""
from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

import anyio
from anyio import to_thread
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive

from mtg_image_db.browser.openapi import description
from mtg_image_db.common import MAX_PICTURE_BYTES, TooManyPixels
from mtg_image_db.console import SuiteError
from mtg_image_db.recognition.cards import cards_record
from mtg_image_db.recognition.open_index import OpenIndex

NAMED_AT_A_TIME = 2  # photos. More are not faster on 2 cores, and each needs up to 200 MB
WAITING = 8  # photos that may wait for their turn: then 503
RETRY_SECONDS = 2  # about the time of two photos
MAX_K, MAX_LIMIT = 100, 1000
FIELD = "image"  # of a multipart body

Endpoint = Callable[[Request], Awaitable[Response]]


class TooLarge(Exception):
    """A body has more than MAX_PICTURE_BYTES."""


def routes(index: OpenIndex) -> list[Route]:
    """The routes of the service, below /api, and /healthz."""
    turns, inside = anyio.CapacityLimiter(NAMED_AT_A_TIME), 0

    async def name(request: Request) -> Response:
        nonlocal inside
        k = number(request, "k", 1, 1, MAX_K)
        if inside >= NAMED_AT_A_TIME + WAITING:  # those that are still sent count: they are in memory too
            return problem(503, "too many photos are waiting", f"{WAITING} wait", "Ask again later.",
                           {"Retry-After": str(RETRY_SECONDS)})
        inside += 1
        try:
            picture = await _picture(request)
            cards = await to_thread.run_sync(functools.partial(index.name, picture, k), limiter=turns)
        finally:
            inside -= 1
        return JSONResponse(cards_record(cards))

    async def search(request: Request) -> Response:
        text, limit = request.query_params.get("q", ""), number(request, "limit", 24, 1, MAX_LIMIT)
        if shown := request.query_params.getlist("text"):  # words for what the pictures show
            unwanted = [words for words in request.query_params.getlist("not") if words.strip()]
            region = request.query_params.get("region")
            found = await to_thread.run_sync(functools.partial(index.search_text, shown, exclude=unwanted, k=limit,
                                                               region=region), limiter=turns)
            return JSONResponse({"total": len(found), "cards": [asdict(face) for face in found]})
        faces = await to_thread.run_sync(index.search, text, limit, number(request, "offset", 0, 0))
        return JSONResponse({"total": index.count(text), "cards": [asdict(face) for face in faces]})

    async def similar(request: Request) -> Response:
        row, k = request.path_params["row"], number(request, "k", 10, 1, MAX_K)
        try:
            matches = await to_thread.run_sync(index.similar, row, k, request.query_params.get("region"))
        except IndexError as error:
            return problem(404, "there is no such row", str(error), f"Rows are from 0 to {len(index) - 1}.")
        return JSONResponse({"matches": [asdict(match) for match in matches]})

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok", "faces": len(index)})

    async def api(_: Request) -> Response:
        return JSONResponse(description())

    return [Route("/api/name", errors_as_json(name), methods=["POST"]), Route("/api/cards", errors_as_json(search)),
            Route("/api/cards/{row:int}/similar", errors_as_json(similar)), Route("/healthz", health),
            Route("/api", api)]


def errors_as_json(endpoint: Endpoint) -> Endpoint:
    """The endpoint with its errors as answers."""
    async def with_errors(request: Request) -> Response:
        try:
            return await endpoint(request)
        except TooLarge:
            return problem(413, "the picture is too large", f"more than {MAX_PICTURE_BYTES >> 20} MB",
                           "Send a smaller picture.")
        except HTTPException as error:  # a multipart body that is none
            return problem(422, "the body cannot be read", error.detail,
                           f"Send the picture as the body, or as the multipart field {FIELD}.")
        except ClientDisconnect:
            return Response(status_code=499)  # nobody reads it
        except SuiteError as error:
            # 501: the index has no words, no vectors of the art, or no complete cards
            known = {"Validation Error": 422, "Invalid Arguments": 422, "Configuration Error": 501}
            status = 413 if isinstance(error.__cause__, TooManyPixels) else known.get(error.category, 500)
            return problem(status, str(error.args[0]), error.details, error.suggestion)

    return with_errors


def problem(status: int, error: str, details: str, suggestion: str, headers: dict[str, str] | None = None) -> Response:
    """An error as JSON: what happened, the value, and what to do."""
    return JSONResponse({"error": error, "details": details, "suggestion": suggestion}, status, headers)


def number(request: Request, name: str, default: int, low: int, high: int | None = None) -> int:
    """A whole number of the query. Raises SuiteError if it is none, or out of its range."""
    text = request.query_params.get(name, str(default))
    if text.isascii() and text.isdecimal() and low <= int(text[:9]) <= (high or 10**9):
        return int(text[:9])
    raise SuiteError("Invalid Arguments", "a number is not valid", f"{name}={text}",
                     f"Give {name} a whole number from {low}{f' to {high}' if high else ' on'}.")


async def _picture(request: Request) -> bytes:
    """The bytes of the picture: the body, or the field FIELD of a multipart body."""
    limited = Request(request.scope, _limited(request.receive))
    if not request.headers.get("Content-Type", "").startswith("multipart/form-data"):
        return await limited.body()
    async with limited.form(max_files=1) as form:
        field: Any = form.get(FIELD)
        if isinstance(field, UploadFile):
            return await field.read()
    raise SuiteError("Validation Error", "the body has no picture", f"no file in the field {FIELD}",
                     f"Send the picture as the body, or as the multipart field {FIELD}.")


def _limited(receive: Receive) -> Receive:
    """Receive at most MAX_PICTURE_BYTES. Raises TooLarge at the first byte beyond."""
    received = 0

    async def counted() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > MAX_PICTURE_BYTES:
            raise TooLarge
        return message

    return counted
