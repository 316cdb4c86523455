"""Scryfall's hosts, the mirror that may stand for them, and the session that talks to them.

    session = open_session("https://api.scryfall.com", NetworkOptions(workers=16), Pace(16))

Reads and writes  nothing
"""
from __future__ import annotations

from urllib.parse import urlsplit

from mtg_image_db.common import FetchError, NetworkOptions, RetryingSession
from mtg_image_db.scryfall.pace import Pace

API_URL = "https://api.scryfall.com"
HOSTS = ("api.scryfall.com", "data.scryfall.io", "cards.scryfall.io")
# Card images are on cards.scryfall.io. Scryfall's other hosts serve backs and the "soon" picture.
CARD_HOST, DOMAINS = "cards.scryfall.io", (".scryfall.io", ".scryfall.com")


def open_session(api_url: str, options: NetworkOptions, pace: Pace) -> RetryingSession:
    """A session for Scryfall, or for a mirror of it. Only their addresses are requested."""
    origins = [*(f"https://{host}" for host in HOSTS), api_url.rstrip("/")]
    return RetryingSession(pace, options, lambda url: request_address(url, api_url), origins)


def request_address(url: str, api_url: str) -> str:
    """Where a URL is requested. Raises FetchError for anything but Scryfall's hosts and the mirror.

    A mirror answers for all three hosts of Scryfall. Their URLs keep their names in the cache and in the artefacts;
    only the request goes to the mirror.
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
