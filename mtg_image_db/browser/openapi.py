"""The description of the service for other programs, as OpenAPI.

    description()["paths"]["/api/name"]

The schemas are made of the dataclasses that the service returns, so they cannot differ.
Reads and writes  nothing
"""
from __future__ import annotations

import types
import typing
from dataclasses import fields
from typing import Any

from mtg_image_db.art_windows import REGIONS
from mtg_image_db.index.reader import Face, Match
from mtg_image_db.index.word_search import Found
from mtg_image_db.recognition.cards import STATES, Card
from mtg_image_db.recognition.printing_choice import Printing
from mtg_image_db.version import __version__

SCHEMAS = (Card, Match, Printing, Face, Found)
PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean"}


def description() -> dict[str, Any]:
    """The OpenAPI description of the service."""
    schemas = {cls.__name__: _object({part.name: _schema(typing.get_type_hints(cls)[part.name])
                                      for part in fields(cls)}) for cls in SCHEMAS}
    schemas["Card"]["properties"]["state"]["enum"] = list(STATES)
    schemas["Problem"] = _object({name: {"type": "string"} for name in ("error", "details", "suggestion")})
    picture = {"schema": {"type": "string", "format": "binary"}}
    return {
        "openapi": "3.1.0", "info": {"title": "MTG image database", "version": __version__},
        "components": {"schemas": schemas},
        "paths": {
            "/api/name": {"post": _operation(
                "Name the cards in a picture", {"matches": _list("Match"), "cards": _list("Card")},
                [_query("k", "matches of each card", 1)], ("413", "422", "503")) | {"requestBody": {
                    "required": True, "content": {"image/*": picture, "multipart/form-data": {"schema": _object({
                        "image": picture["schema"]})}}}}},
            "/api/cards": {"get": _operation(
                "Search cards by name, set and number, or by what their pictures show", {
                    "total": {"type": "integer"},
                    "cards": {"anyOf": [_list("Face"), _list("Found")]}},
                [_query("q", "words of the name, set and number", ""),
                 _query("text", "instead of q: what the picture shows. The cards are then Found", ""),
                 _query("not", "with text: what the picture does not show", ""),
                 _region("with text: what of the cards is compared"),
                 _query("limit", "at most so many", 24), _query("offset", "with q: after so many", 0)],
                ("422", "501"))},
            "/api/cards/{row}/similar": {"get": _operation(
                "The cards that look most like one", {"matches": _list("Match")},
                [{"name": "row", "in": "path", "required": True, "schema": {"type": "integer"}},
                 _query("k", "so many", 10), _region("what is compared: the art, if the index has vectors of it")],
                ("404", "422", "501"))},
            "/healthz": {"get": _operation("Whether the service answers", {
                "status": {"type": "string"}, "faces": {"type": "integer"}}, [], ())}}}


def _operation(summary: str, answer: dict[str, Any], parameters: list[dict[str, Any]],
               problems: tuple[str, ...]) -> dict[str, Any]:
    return {"summary": summary, "parameters": parameters, "responses": {
        "200": {"description": "OK", "content": {"application/json": {"schema": _object(answer)}}},
        **{status: {"description": "Problem", "content": {"application/json": {"schema": _reference("Problem")}}}
           for status in problems}}}


def _query(name: str, meaning: str, default: str | int) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": meaning,
            "schema": {"type": PLAIN[type(default)], "default": default}}


def _region(meaning: str) -> dict[str, Any]:
    schema = {"type": "string", "enum": list(REGIONS)}
    return {"name": "region", "in": "query", "description": meaning, "schema": schema}


def _schema(hint: Any) -> dict[str, Any]:
    """The schema of a field's type."""
    if hint in PLAIN:
        return {"type": PLAIN[hint]}
    if hint in SCHEMAS:
        return _reference(hint.__name__)
    if typing.get_origin(hint) is list:
        return {"type": "array", "items": _schema(typing.get_args(hint)[0])}
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return {"anyOf": [{"type": "null"} if each is type(None) else _schema(each) for each in typing.get_args(hint)]}
    raise TypeError(hint)


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _list(name: str) -> dict[str, Any]:
    return {"type": "array", "items": _reference(name)}


def _reference(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}
