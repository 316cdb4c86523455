"""download_images.py behind proxies and with certificates of the environment: named, and no password written."""
from __future__ import annotations

import pytest
from conftest import assert_three_lines, plain_cards, write_bulk

pytestmark = pytest.mark.fault("proxy")
NO_PROXY = {"no_proxy": "", "NO_PROXY": ""}
LOGIN = "alice:s3cret"


@pytest.mark.parametrize("variable, value, words", [
    ("http_proxy", f"http://{LOGIN}@127.0.0.1:99999", "address is not valid"),
    ("all_proxy", "socks5://127.0.0.1:1080", "PySocks"),
])
def test_a_proxy_that_cannot_be_used_is_named_before_any_work(workspace, variable, value, words):
    done = workspace.run("download_images.py", "--limit", 1, code=1, **NO_PROXY, **{variable: value})
    assert_three_lines(done.stderr, "Configuration Error")
    assert words in done.stderr and variable in done.stderr and "s3cret" not in done.stderr
    assert not workspace.cache.exists()


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_a_missing_certificate_file_is_named_before_any_work(workspace, variable):
    workspace.api_url = "https://api.scryfall.com"  # never requested: the check comes first
    done = workspace.run("download_images.py", "--limit", 1, code=1,
                         **{"REQUESTS_CA_BUNDLE": "", "CURL_CA_BUNDLE": "", variable: "/nowhere/ca.pem"})
    assert_three_lines(done.stderr, "Configuration Error")
    assert f"{variable}: /nowhere/ca.pem" in done.stderr


def test_a_proxy_that_does_not_answer_is_named_without_its_password(workspace, drawn):
    bulk = write_bulk(workspace.path / "bulk.json", plain_cards(drawn)[:2])
    done = workspace.run("download_images.py", "--bulk-file", bulk, "--max-retries", 0, code=2, **NO_PROXY,
                         http_proxy=f"http://{LOGIN}@127.0.0.1:9")
    failures = workspace.lines("download_failures.jsonl")
    assert [line["error"] for line in failures] == ["through the proxy http://***@127.0.0.1:9: Connection refused"] * 2
    assert "s3cret" not in done.stderr + done.stdout


def test_a_mirrors_password_is_used_and_never_written(workspace, mirror):
    workspace.api_url = mirror.url.replace("//", f"//{LOGIN}@")
    done = workspace.download("--limit", 2)
    assert {request.headers["Authorization"].split()[0] for request in mirror.requests} == {"Basic"}
    again = workspace.download("--limit", 2)
    written = [path.read_bytes() for path in workspace.path.rglob("*") if path.is_file()]
    assert len(written) > 4 and not any(b"s3cret" in data for data in written)
    assert "s3cret" not in done.stderr + again.stderr + done.stdout
    assert [request.path for request in mirror.requests if "bulk-data" in request.path] == [
        "/bulk-data/unique_artwork", "/bulk-data/default_cards"]
