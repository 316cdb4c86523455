"""Scryfall's hosts, the mirror that can replace them, and the session that sends requests to them.

    session = open_session("https://api.scryfall.com", NetworkOptions(workers=16), Pace(16))

Reads and writes  nothing
"""
from __future__ import annotations

from urllib.parse import urlsplit

from mtg_image_db.common import FetchError, NetworkOptions, RetryingSession
from mtg_image_db.scryfall.pace import Pace

API_URL = "https://api.scryfall.com"
HOSTS = ("api.scryfall.com", "data.scryfall.io", "cards.scryfall.io")
# Card images are on cards.scryfall.io. Other Scryfall hosts serve card backs and the "soon" picture.
CARD_HOST, DOMAINS = "cards.scryfall.io", (".scryfall.io", ".scryfall.com")


def open_session(api_url: str, options: NetworkOptions, pace: Pace) -> RetryingSession:
    """A session for Scryfall, or for a mirror at api_url. It sends requests to no other address."""
    origins = [*(f"https://{host}" for host in HOSTS), api_url.rstrip("/")]
    return RetryingSession(pace, options, lambda url: request_address(url, api_url), origins)


def request_address(url: str, api_url: str) -> str:
    """The address at which to request a URL. Raises FetchError if it belongs to neither Scryfall nor the mirror.

    A mirror answers for all three hosts of Scryfall. Only the request goes to the mirror: the cache and the artefacts
    keep Scryfall's URLs.
    """
    api = urlsplit(api_url)
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise FetchError(f"no web address: {url[:200]}", "refused") from error
    if (parts.scheme, parts.netloc) == (api.scheme, api.netloc):
        return url
    if parts.scheme == "https" and parts.netloc in HOSTS:
        return url if api.netloc in HOSTS else parts._replace(scheme=api.scheme, netloc=api.netloc).geturl()
    raise FetchError(f"refused address: {url[:200]}", "refused")
