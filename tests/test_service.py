"""The service of scripts/serve.py: what other programs ask over HTTP, and what a stranger cannot."""
from __future__ import annotations

import contextlib
import http.client
import json
import re
import signal
import struct
import threading
import time
import urllib.request
import uuid
import zlib
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
from web_site import Site, served

from mtg_image_db.browser import api
from mtg_image_db.browser.openapi import description


def asked(address: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, dict, dict]:
    """(status, headers, JSON) of a request: POST with a body, GET without one."""
    host = urlsplit(address)
    connection = http.client.HTTPConnection(host.hostname, host.port, timeout=60)
    with contextlib.closing(connection):
        connection.request("GET" if body is None else "POST", path, body, headers)
        answer = connection.getresponse()
        data = answer.read()
    return answer.status, dict(answer.headers), json.loads(data) if data[:1] in b"{[" and data else {}


def multipart(field: str, data: bytes) -> tuple[bytes, str]:
    boundary = uuid.uuid4().hex
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="a.jpg"\r\n' \
           "Content-Type: image/jpeg\r\n\r\n"
    return head.encode() + data + f"\r\n--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


# Naming

def test_a_posted_picture_is_answered_as_the_script_answers(site: Site):
    path = site.picture(9)
    script = json.loads(site.workspace.run("query_index.py", path, "--json", "--k", 3).stdout)
    script.pop("query")
    body, kind = multipart("image", path.read_bytes())
    for answer in (asked(site.address, "/api/name?k=3", path.read_bytes()),
                   asked(site.address, "/api/name?k=3", body, **{"Content-Type": kind})):
        status, headers, said = answer
        assert status == 200 and said == script and headers["content-type"] == "application/json"
        assert "access-control-allow-origin" not in headers


def huge_png() -> bytes:
    """A PNG that says it has 20,000 x 20,000 pixels."""
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("body, headers, status, words", [
    (b"no picture", {}, 422, "not a picture"), (b"", {}, 422, "empty file"), (b"%PDF-1.7 x", {}, 422, "a PDF"),
    (huge_png(), {}, 413, "too many pixels"), (bytes((64 << 20) + 1), {}, 413, "more than 64 MB"),
    (multipart("image", b"x")[0], {"Content-Type": "multipart/form-data; boundary=wrong"}, 422, "multipart"),
    (b"--b\r\nContent-Disposition: form-data; name=other\r\n\r\nx\r\n--b--\r\n",
     {"Content-Type": "multipart/form-data; boundary=b"}, 422, "no file in the field image")])
def test_what_is_no_picture_is_refused_in_three_parts(site, body, headers, status, words):
    got, _, said = asked(site.address, "/api/name", body, **headers)
    assert got == status and said.keys() == {"error", "details", "suggestion"}, said
    assert words in " ".join(said.values())


@pytest.mark.parametrize("path", ["/api/name?k=0", "/api/name?k=1000", "/api/name?k=x", "/api/name?k=-1"])
def test_a_number_out_of_range_is_refused(site, path):
    status, _, said = asked(site.address, path, b"x")
    assert status == 422 and "k=" in said["details"]


# Searching

def test_cards_are_found_by_name_set_and_number(site):
    face = site.meta[12]
    words = f"{face['name'].split()[0]} {face['set']} {face['collector_number']}".upper()
    status, _, said = asked(site.address, f"/api/cards?q={urllib.request.quote(words)}")
    assert status == 200 and said["total"] >= 1 and said["cards"][0]["face_id"] == face["face_id"]
    row = said["cards"][0]["row"]
    assert row == 12
    status, _, similar = asked(site.address, f"/api/cards/{row}/similar?k=4")
    assert [match["rank"] for match in similar["matches"]] == [1, 2, 3, 4]
    assert row not in {match["row"] for match in similar["matches"]}
    all_of_set = asked(site.address, f"/api/cards?q={face['set']}&limit=1000")[2]
    page = asked(site.address, f"/api/cards?q={face['set']}&limit=2&offset=3")[2]
    assert page["total"] == all_of_set["total"] > 5 and page["cards"] == all_of_set["cards"][3:5]
    assert asked(site.address, "/api/cards?q=")[2] == {"total": 0, "cards": []}
    assert asked(site.address, "/api/cards/53/similar")[0] == 404


def test_the_description_names_every_route_and_every_field(site):
    assert asked(site.address, "/healthz")[2] == {"status": "ok", "faces": 53}
    status, _, said = asked(site.address, "/api")
    assert status == 200 and said == json.loads(json.dumps(description())) and said["openapi"].startswith("3.")
    routes = {re.sub(r":\w+", "", route.path) for route in api.routes(None)}
    assert set(said["paths"]) | {"/api"} == routes
    answer = asked(site.address, "/api/name", site.picture(9).read_bytes())[2]
    for name, value in (("Card", answer["cards"][0]), ("Match", answer["matches"][0]),
                        ("Printing", answer["cards"][0]["printings"][0])):
        schema = said["components"]["schemas"][name]
        assert set(schema["properties"]) == set(value) == set(schema["required"])
    references = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(said)))
    assert references <= set(said["components"]["schemas"])


# Strangers

@pytest.mark.parametrize("host, status", [
    ("localhost:8000", 200), ("127.0.0.1", 200), ("[::1]:80", 200), ("192.168.1.7:8000", 200),
    ("evil.example", 421), ("localhost.evil.example:8000", 421), ("", 421)])
def test_a_page_of_another_name_cannot_read_the_answers(site, host, status):
    """DNS rebinding: the page's own name leads to this machine."""
    assert asked(site.address, "/healthz", Host=host)[0] == status


def test_pages_of_other_sites_may_ask_only_where_it_is_allowed(site):
    origin = {"Origin": "https://shop.example"}
    assert "access-control-allow-origin" not in asked(site.address, "/healthz", **origin)[1]
    with served(site.workspace, "--allow-origin", "https://shop.example") as address:
        assert asked(address, "/healthz", **origin)[1]["access-control-allow-origin"] == "https://shop.example"
        assert "access-control-allow-origin" not in asked(address, "/healthz", Origin="https://evil.example")[1]


# Many at a time

def test_many_clients_get_an_answer_or_are_told_to_wait(site):
    """Each photo is answered rightly, or with 503 and a time. Nothing else, and no connection is dropped."""
    rows, answers = [3, 9, 12, 20, 27], []
    pictures = [(site.meta[row]["face_id"], site.picture(row).read_bytes()) for row in rows]

    def client(number: int) -> None:
        for at in range(2):
            face_id, data = pictures[(number + at) % len(pictures)]
            status, headers, said = asked(site.address, "/api/name", data)
            answers.append((status, (status == 503 and int(headers["retry-after"]) > 0)
                            or said["matches"][0]["face_id"] == face_id))

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(client, range(20)))
    assert len(answers) == 40 and {status for status, _ in answers} <= {200, 503} and all(good for _, good in answers)
    assert sum(status == 200 for status, _ in answers) >= 10
    assert any(status == 503 for status, _ in answers), "20 clients are more than 2 and 8"


def test_ctrl_c_answers_what_it_has(site):
    server = site.workspace.start("scripts/serve.py", "--port", 0, "--read", "off")
    line = next(line for line in server.stderr if "localhost" in line)
    address, statuses = re.search(r"http://localhost:\d+", line)[0], []
    data = site.picture(9).read_bytes()  # a photo of several cards may take longer than the server waits
    clients = [threading.Thread(target=lambda: statuses.append(asked(address, "/api/name", data)[0])) for _ in range(3)]
    for client in clients:
        client.start()
    time.sleep(0.2)
    server.send_signal(signal.SIGINT)
    assert server.wait(30) == 0
    for client in clients:
        client.join(10)
    assert statuses == [200, 200, 200]
