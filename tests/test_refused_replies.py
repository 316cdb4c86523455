"""Replies that are not tried again, or not for long: missing, invalid, slow, endless, elsewhere."""
from __future__ import annotations

import io

import pytest
from conftest import assert_three_lines, image_requests, plain_cards, write_bulk
from network import CountedPace, picture_path, session_to
from PIL import Image

from mirror.faults import Fault
from mirror.scryfall_mirror import Mirror
from mtg_image_db.common import NetworkOptions, open_picture
from mtg_image_db.leftovers import TEMPORARY_SUFFIX
from mtg_image_db.replies import FetchError, stream_body
from mtg_image_db.scryfall.download import DownloadOptions, download
from mtg_image_db.scryfall.faces import Source
from mtg_image_db.scryfall.hosts import API_URL, request_address


@pytest.mark.fault("missing")
@pytest.mark.parametrize("status", [404, 410, 403])
def test_a_missing_picture_is_not_retried(workspace, mirror, status):
    mirror.faults.append(Fault(r"/back/", "status", status=status))
    done = workspace.download(code=0)
    failures = workspace.lines("download_failures.jsonl")
    assert len(failures) == 15 and "15 failed (15 missing)" in done.stderr
    assert {(line["http_status"], line["attempts"], line["kind"]) for line in failures} == {(status, 1, "missing")}
    if status == 404:
        workspace.download("--strict", code=4)


@pytest.mark.fault("no-picture")
@pytest.mark.parametrize("kind, named", [("html", "web page"), ("empty", "empty"), ("truncated", "truncated"),
                                         ("garbage", "not a picture")])
def test_what_is_no_picture_never_gets_a_final_name(workspace, mirror, kind, named):
    mirror.faults.append(Fault(r"/normal/", kind))
    done = workspace.download("--limit", 2, "--max-retries", 1, code=2)
    assert_three_lines(done.stderr, "Network Error")
    failures = workspace.lines("download_failures.jsonl")
    assert len(failures) == 2 and all(named in failure["error"] for failure in failures)
    assert {"name", "scryfall_id", "face_id", "url", "error", "http_status", "attempts"} <= failures[0].keys()
    assert failures[0]["attempts"] == 2
    assert [path for path in workspace.cache.iterdir() if path.name != "bulk"] == []


@pytest.mark.fault("no-picture")
def test_what_is_no_picture_is_asked_for_three_times_at_most(workspace, mirror):
    mirror.faults.append(Fault(r"/normal/", "html"))
    workspace.download("--limit", 1, code=2)
    failure, = workspace.lines("download_failures.jsonl")
    assert (failure["attempts"], failure["kind"], len(image_requests(mirror))) == (3, "invalid", 3)


@pytest.mark.fault("no-picture")
def test_an_invalid_body_after_network_faults_is_still_asked_for_again(mirror):
    address = mirror.url + picture_path(mirror, 0).replace("\\", "")
    mirror.faults += [Fault("/normal/", "reset", times=2), Fault("/normal/", "html", times=1)]
    client = session_to(mirror, CountedPace())

    def consume(response) -> None:
        data = io.BytesIO()
        stream_body(response, data.write, 1 << 20, 10)
        open_picture(data.getvalue())

    client.fetch(address, consume)
    assert [request.status for request in mirror.requests] == [0, 0, 200, 200]


@pytest.mark.fault("slow-or-large")
def test_a_body_that_drips_or_never_ends_is_dropped_and_the_rest_goes_on(workspace, mirror):
    """One drips once and comes on a new connection. One drips always, one never ends: those are lost."""
    mirror.faults += [Fault(picture_path(mirror, 0), "drip", seconds=60, times=1),
                      Fault(picture_path(mirror, 1), "drip", seconds=60),
                      Fault(picture_path(mirror, 3), "endless")]
    network = NetworkOptions(timeout=(5.0, 1.5))  # the script's flag begins at 5 s: a body would take 20 s
    download(DownloadOptions(Source(cache=workspace.cache, limit=6), workspace.out, network, mirror.url))
    causes = {line["kind"]: (line["error"], line["attempts"]) for line in workspace.lines("download_failures.jsonl")}
    assert causes == {"too slow": ("too slow: not complete after 6 s", 2),
                      "too large": (f"too large: more than {64 << 20:,} bytes", 1)}
    assert workspace.download_statistics()["failed_by_kind"] == {"too large": 1, "too slow": 1}
    assert len(workspace.pictures()) == 4 and not list(workspace.cache.glob(f".*{TEMPORARY_SUFFIX}"))


@pytest.mark.fault("packed")
def test_a_reply_packed_on_the_way_is_unpacked(workspace, mirror):
    mirror.faults.append(Fault("/", "gzip"))
    workspace.download("--limit", 3, "--max-retries", 0)
    assert len(workspace.pictures()) == 3
    workspace.build("--limit", 3)


@pytest.mark.fault("packed")
@pytest.mark.parametrize("match, code", [("/bulk-data", 1), ("/unique-artwork/", 1), ("/normal/", 2)])
def test_a_reply_packed_in_another_way_is_refused_by_name(workspace, mirror, match, code):
    mirror.faults.append(Fault(match, "brotli"))
    done = workspace.download("--limit", 1, code=code)
    lines = workspace.lines("download_failures.jsonl") if code == 2 else []
    assert "packed as br, which was not asked for" in done.stderr + "".join(line["error"] for line in lines)


@pytest.mark.fault("packed")
def test_a_packed_body_cannot_exceed_the_limit(workspace, mirror, tmp_path):
    zeros = tmp_path / "zeros.jpg"
    zeros.write_bytes(bytes(70 << 20))
    mirror.faults.append(Fault("/normal/", "gzip", file=str(zeros)))
    workspace.download("--limit", 1, code=2)
    failure, = workspace.lines("download_failures.jsonl")
    assert failure["kind"] == "too large"


@pytest.mark.fault("address")
@pytest.mark.parametrize("location", ["http://169.254.169.254/latest", "file:///etc/passwd", "http://[bad",
                                      "/normal/front/0/0/x.jpg"])
def test_redirects_elsewhere_or_without_end_are_refused(workspace, mirror, location):
    mirror.faults.append(Fault(r"/normal/", "redirect", location=location))
    workspace.download("--limit", 1, code=2)
    failure, = workspace.lines("download_failures.jsonl")
    assert failure["kind"] == "refused" and failure["attempts"] == 1


@pytest.mark.fault("address")
def test_a_redirect_on_the_same_host_is_followed_without_reading_its_body(workspace, mirror):
    """The body of the redirect never ends, and nobody reads it."""
    target = picture_path(mirror, 1).replace("\\", "")
    mirror.faults.append(Fault(picture_path(mirror, 0), "endless-redirect", location=target))
    workspace.download("--limit", 1)
    assert workspace.download_statistics()["downloaded"] == 1
    assert image_requests(mirror)[-1].path.startswith(target)


@pytest.mark.fault("address")
def test_another_scheme_or_port_of_the_mirror_is_refused():
    for url, api_url in (("http://mirror.example/a", "https://mirror.example"),
                         ("https://mirror.example:22/a", "https://mirror.example"),
                         ("http://api.scryfall.com/a", API_URL), ("https://api.scryfall.com:22/a", API_URL)):
        with pytest.raises(FetchError, match="refused address"):
            request_address(url, api_url)
    assert request_address("https://cards.scryfall.io/a?1", "https://mirror.example") == "https://mirror.example/a?1"


@pytest.mark.fault("address")
@pytest.mark.parametrize("url, api_url, requested", [
    ("https://Cards.Scryfall.IO:443/A?1", API_URL, "https://cards.scryfall.io/A?1"),
    ("HTTPS://MIRROR.example:443/a", "https://mirror.example", "https://mirror.example/a"),
    ("https://cards.scryfall.io/a?1", "http://nas:8000/scryfall/", "http://nas:8000/scryfall/a?1"),
    ("http://nas:8000/scryfall/b", "http://nas:8000/scryfall", "http://nas:8000/scryfall/b")])
def test_addresses_of_one_server_are_the_same_however_they_are_written(url, api_url, requested):
    assert request_address(url, api_url) == requested


@pytest.mark.fault("address")
def test_a_mirror_below_a_path_serves_everything_below_it(workspace, drawn):
    with Mirror(drawn, prefix="/scryfall") as mirror:
        target = picture_path(mirror, 1).replace("\\", "")
        mirror.faults.append(Fault(picture_path(mirror, 0), "redirect", location=f"/scryfall{target}"))
        workspace.api_url = f"{mirror.url}/"
        workspace.download("--limit", 3)
        assert len(mirror.requests) == 8 and all(request.path.startswith("/scryfall/") for request in mirror.requests)


@pytest.mark.fault("address")
def test_a_picture_on_a_strange_host_is_never_asked_for(workspace, drawn, mirror):
    addresses = ["http://169.254.169.254/a.jpg", "https://evil.example/a.jpg",
                 "https://cards.scryfall.io@evil.example/a.jpg", "https://cards.scryfall.io:8443/a.jpg"]
    cards = plain_cards(drawn)[:5]
    for card, address in zip(cards, addresses, strict=False):
        card["image_uris"]["normal"] = address
    workspace.download("--bulk-file", write_bulk(workspace.path / "mine", cards))
    failures = workspace.lines("download_failures.jsonl")
    assert [failure["kind"] for failure in failures] == ["refused"] * len(addresses)
    assert len(image_requests(mirror)) == workspace.download_statistics()["downloaded"] == 1


@pytest.mark.fault("address")
def test_what_is_no_address_of_a_picture_is_no_face_to_fetch(workspace, drawn, mirror):
    addresses = ["file:///etc/passwd", "ftp://cards.scryfall.io/a.jpg", "no address", "http://[bad",
                 "https://backs.scryfall.io/normal/a.jpg"]
    cards = plain_cards(drawn)[:6]
    for card, address in zip(cards, addresses, strict=False):
        card["image_uris"] = {"normal": address}
    path = write_bulk(workspace.path / "mine", cards)
    workspace.download("--bulk-file", path)
    done = workspace.download_statistics()
    assert (done["refused_urls"], done["to_fetch"], len(image_requests(mirror))) == (len(addresses), 1, 1)
    workspace.build("--bulk-file", path)
    reasons = [rejected["reason"] for rejected in workspace.lines("rejected.jsonl")]
    assert len(reasons) == len(addresses) and all(reason.startswith("invalid: ") for reason in reasons)


@pytest.mark.fault("other-format")
def test_the_bytes_decide_the_format(workspace, mirror, tmp_path):
    data = io.BytesIO()
    Image.new("RGB", (488, 680), "red").save(data, "WEBP")
    (tmp_path / "card.webp").write_bytes(data.getvalue())
    mirror.faults.append(Fault(r"/normal/", "body", file=str(tmp_path / "card.webp")))
    workspace.download("--limit", 1)
    path, = workspace.pictures()
    assert path.suffix == ".jpg" and path.read_bytes() == data.getvalue()
