"""The local Scryfall answers as the real hosts do, as far as a client can be wrong about it."""
from __future__ import annotations

import http.client
from urllib.parse import urlsplit

import pytest

from mirror.scryfall_mirror import Mirror


def status_of(mirror: Mirror, path: str, headers: dict[str, str]) -> int:
    connection = http.client.HTTPConnection(urlsplit(mirror.url).netloc, timeout=10)
    connection.request("GET", path, headers=headers)  # http.client sends no User-Agent of its own
    return connection.getresponse().status


@pytest.mark.parametrize("headers, status", [({}, 400), ({"User-Agent": " "}, 400), ({"User-Agent": "curl/8"}, 200)])
def test_the_image_host_refuses_a_request_without_a_user_agent(mirror, headers, status):
    picture = next((mirror.root / "images").rglob("*.jpg"))
    path = "/" + picture.relative_to(mirror.root / "images").as_posix()
    assert status_of(mirror, path, headers) == status


@pytest.mark.parametrize("headers, status", [
    ({}, 400), ({"User-Agent": "curl/8", "Accept": "*/*"}, 400), ({"User-Agent": "mtg-image-db/1"}, 400),
    ({"User-Agent": "mtg-image-db/1", "Accept": "*/*"}, 200)])
def test_the_api_wants_an_agent_with_a_name_and_an_accept_header(mirror, headers, status):
    assert status_of(mirror, "/bulk-data/unique_artwork", headers) == status
