"""Scryfall's hosts, the mirror that can replace them, and the session that sends requests to them.

    session = open_session("https://api.scryfall.com", NetworkOptions(workers=16), Pace(16))

Reads and writes  nothing
"""
from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from mtg_image_db.common import NetworkOptions, RetryingSession
from mtg_image_db.console import SuiteError
from mtg_image_db.replies import FetchError
from mtg_image_db.scryfall.pace import Pace

API_URL = "https://api.scryfall.com"
HOSTS = ("api.scryfall.com", "data.scryfall.io", "cards.scryfall.io")
# Card images are on cards.scryfall.io. Other Scryfall hosts serve card backs and the "soon" picture.
CARD_HOST, DOMAINS = "cards.scryfall.io", (".scryfall.io", ".scryfall.com")


def open_session(api_url: str, options: NetworkOptions, pace: Pace) -> RetryingSession:
    """A session for Scryfall, or for a mirror at api_url. It sends requests to no other address.

    Raises SuiteError if a variable of the environment names a proxy or a certificate file that cannot be used.
    """
    import requests

    reader = requests.Session()
    reader.verify = os.environ.get("SSL_CERT_FILE") or True  # requests itself knows REQUESTS_CA_BUNDLE
    settings = dict[str, dict[str, Any]]()
    for origin in [f"https://{host}" for host in HOSTS] if urlsplit(api_url).hostname in HOSTS else [api_url]:
        url = str(requests.Request("GET", origin.rstrip("/")).prepare().url)
        settings[urlsplit(url).netloc] = dict(reader.merge_environment_settings(url, {}, True, None, None))
        _check_settings(url, settings[urlsplit(url).netloc])
    return RetryingSession(pace, options, lambda url: request_address(url, api_url), settings)


def _check_settings(url: str, settings: dict[str, Any]) -> None:
    """Check the proxy and the certificates that the environment names for a URL, before any work begins."""
    from requests.utils import select_proxy
    from urllib3.exceptions import LocationParseError
    from urllib3.util import parse_url

    if proxy := select_proxy(url, settings["proxies"]):
        try:
            scheme = parse_url(proxy).scheme or "http"
        except LocationParseError as error:
            raise _unusable("the proxy's address is not valid", proxy, "Write it as http://host:port.") from error
        if scheme.startswith("socks") and importlib.util.find_spec("socks") is None:
            raise _unusable("a SOCKS proxy needs the package PySocks", proxy, "Run pip install pysocks.")
    certificates = settings["verify"]
    if url.startswith("https:") and certificates is not True and not Path(certificates).exists():
        raise _unusable("the file of certificates does not exist", certificates, "Correct the variable, or unset it.")


def _unusable(what: str, value: str, suggestion: str) -> SuiteError:
    names = ", ".join(sorted(name for name, found in os.environ.items() if found == value))
    return SuiteError("Configuration Error", what, f"{names or 'the environment'}: {value}", suggestion)


def request_address(url: str, api_url: str) -> str:
    """The address at which to request a URL. Raises FetchError if it belongs to neither Scryfall nor the mirror.

    A mirror answers for all three hosts of Scryfall, below the path of api_url if it has one. Only the request goes to
    the mirror: the cache and the artefacts keep Scryfall's URLs.
    """
    api = urlsplit(api_url)
    try:
        parts = urlsplit(url)
        server = _server(parts)
    except ValueError as error:
        raise FetchError(f"no web address: {url[:200]}", "refused") from error
    if server == _server(api):
        return parts._replace(netloc=str(api.hostname) if api.hostname in HOSTS else api.netloc).geturl()
    if parts.username is None and server in [("https", host, 443) for host in HOSTS]:
        if api.hostname in HOSTS:
            return parts._replace(netloc=str(parts.hostname)).geturl()
        return parts._replace(scheme=api.scheme, netloc=api.netloc, path=api.path.rstrip("/") + parts.path).geturl()
    raise FetchError(f"refused address: {url[:200]}", "refused")


def _server(parts: SplitResult) -> tuple[str, str | None, int | None]:
    """What makes two addresses the same server, however they are written: host names in capitals, the default port."""
    return parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme)
