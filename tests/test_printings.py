"""The printings of each artwork: the second bulk file, mtg_printings.jsonl, and what an opened index gives of it."""
from __future__ import annotations

import gzip
import json
import shlex
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import ROOT, Workspace, assert_three_lines, image_requests, plain_cards, read_bulk

from mirror.faults import Fault
from mirror.scryfall_mirror import Mirror
from mtg_image_db.artefacts import cache_name, load_manifest
from mtg_image_db.console import SuiteError
from mtg_image_db.index.printings import FIELDS, Printings
from mtg_image_db.index.reader import read_index

PICTURES = "image_uris"


def reprint(card: dict, number: int, **changes: object) -> dict:
    """Another printing of a card: an id of its own, and what else differs. None removes a key."""
    made = {**card, "id": f"{card['id'][:-2]}{number:02x}", **changes}
    return {key: value for key, value in made.items() if value is not None}


def without_id(side: dict) -> dict:
    return {key: value for key, value in side.items() if key != "illustration_id"}


def without_pictures(card: dict) -> dict:
    return reprint(card, 0xAA, image_uris=None,
                   card_faces=[{key: value for key, value in side.items() if key != PICTURES}
                               for side in card.get("card_faces", [])] or None)


def write_packed(path: Path, cards: list[dict]) -> None:
    path.write_bytes(gzip.compress("".join(json.dumps(card) + "\n" for card in cards).encode()))


@dataclass(frozen=True)
class Cards:
    """The cards that the tests look at. nameless and bare have no illustration_id, half has none on its back."""
    common: dict
    nameless: dict
    two_sided: dict
    half: dict
    bare: dict
    unlisted: dict


@pytest.fixture(scope="module")
def cards(drawn) -> Cards:
    plain, two = plain_cards(drawn), [card for card in read_bulk(drawn) if card["layout"] == "transform"]
    front, back = two[1]["card_faces"]
    half, bare = [front, without_id(back)], list(map(without_id, two[2]["card_faces"]))
    return Cards(plain[0], without_id(plain[1]), two[0], {**two[1], "card_faces": half}, {**two[2], "card_faces": bare},
                 plain[2])


@pytest.fixture(scope="module")
def root(drawn, cards, tmp_path_factory) -> Path:
    """A mirror whose bulk files differ, as Scryfall's do: default-cards and all-cards have printings without a picture
    in unique-artwork."""
    root, known = tmp_path_factory.mktemp("printed"), vars(cards).values()
    (root / "images").symlink_to(drawn / "images")
    by_id = {card["id"]: card for card in known}
    unique = [by_id.get(card["id"], card) for card in read_bulk(drawn)]
    write_packed(root / "unique-artwork.jsonl.gz", unique)
    stranger = reprint(cards.common, 9, illustration_id="has no picture in the index", rarity="a stranger")
    printed = [card for card in unique if card is not cards.unlisted] + [
        stranger,
        reprint(cards.common, 1, set="old", set_name="An Old Set", collector_number="7a", released_at="1999-05-01",
                frame="1997", border_color="white", finishes=["nonfoil"], games=["paper", "mtgo"]),
        reprint(cards.common, 2, set="pro", collector_number="3", released_at="2030-01-02", games=["paper"], promo=True,
                promo_types=["prerelease", "datestamped"], full_art=True),
        reprint(cards.common, 3, set="gold", released_at="1998-08-12", games=[], border_color="gold"),
        reprint(cards.common, 4, set="net", digital=True),
        reprint(cards.common, 5, set="web", digital=False, games=["arena", "mtgo"]),
        reprint(without_pictures(cards.two_sided), 1, set="old", released_at="1999-05-01"),
        *(reprint(without_pictures(card), 1, set="old", released_at="1999-05-01")
          for card in (cards.nameless, cards.half, cards.bare))]
    write_packed(root / "default-cards.jsonl.gz", printed)
    abroad = [reprint(cards.common, 16 + n, lang=lang, printed_name=name)
              for n, (lang, name) in enumerate([("de", "Älterer Wächter"), ("ja", "番人")])]
    write_packed(root / "all-cards.jsonl.gz", [*printed, *abroad])
    return root


@pytest.fixture(scope="module")
def listed(root, finished, tmp_path_factory):
    """(an index with its printings, the mirror): read only. Its vectors are those of the finished index."""
    space = Workspace(tmp_path_factory.mktemp("listed") / "work")
    shutil.copytree(finished.path, space.path)
    shutil.rmtree(space.cache / "bulk")
    with Mirror(root) as mirror:
        space.api_url = mirror.url
        space.download()
        assert "printings" not in space.build().stderr
        yield space, mirror


@pytest.fixture
def mine(listed, tmp_path) -> Workspace:
    """A copy of it, to change."""
    shutil.copytree(listed[0].path, tmp_path / "mine")
    return Workspace(tmp_path / "mine", listed[1].url)


def age(space: Workspace) -> None:
    """Pretend that the bulk files were checked 25 hours ago."""
    for path in (space.cache / "bulk").glob("*.json"):
        known = json.loads(path.read_text())
        known["checked_at"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 25 * 3600))
        path.write_text(json.dumps(known))


def printings_in(space: Workspace) -> dict[str, list[dict]]:
    return {line["artwork"]: line["printings"] for line in space.lines("mtg_printings.jsonl")}


def sets_of(printings: list[dict]) -> list[str]:
    return [printing["set"] for printing in printings]


# The file

def test_an_artwork_has_every_printing_in_paper_the_newest_first(listed, cards):
    found, common = printings_in(listed[0]), cards.common
    printings = found[common["illustration_id"]]
    assert sets_of(printings) == ["pro", common["set"], "old", "gold"], "no digital card; gold borders are paper"
    assert set(FIELDS) - set(printings[0]) == {"printed_name"}
    promo, _, old, _ = printings
    assert (promo["promo"], promo["promo_types"], promo["full_art"]) == (True, ["prerelease", "datestamped"], True)
    assert (old["promo"], old["promo_types"], old["full_art"]) == (False, [], False)
    assert {key: old[key] for key in ("set_name", "collector_number", "released_at", "frame", "border_color", "lang",
                                      "finishes", "name", "rarity", "scryfall_id", "face_id", "oracle_id")} == {
        "set_name": "An Old Set", "collector_number": "7a", "released_at": "1999-05-01", "frame": "1997",
        "border_color": "white", "lang": "en", "finishes": ["nonfoil"], "name": common["name"],
        "rarity": common["rarity"], "scryfall_id": reprint(common, 1)["id"], "face_id": reprint(common, 1)["id"],
        "oracle_id": common["oracle_id"]}
    assert old["tcgplayer_id"] == common["tcgplayer_id"] and old["cardmarket_id"] == common["cardmarket_id"]
    assert old["scryfall_uri"].startswith("https://scryfall.com/card/") and "utm" not in old["scryfall_uri"]


def test_each_side_of_a_card_is_an_artwork_with_and_without_pictures(listed, cards):
    found = printings_in(listed[0])
    for i, side in enumerate(cards.two_sided["card_faces"]):
        printings = found[side["illustration_id"]]
        ids = [cards.two_sided["id"], reprint(cards.two_sided, 1)["id"]]
        assert [printing["face_id"] for printing in printings] == [f"{card_id}:face:{i}" for card_id in ids]
        assert {printing["name"] for printing in printings} == {side["name"]}
        assert {printing["oracle_id"] for printing in printings} == {cards.two_sided["oracle_id"]}


def test_the_name_stands_for_an_artwork_without_an_id(listed, cards):
    found, (front, back) = printings_in(listed[0]), cards.half["card_faces"]
    assert sets_of(found[f"name:{cards.nameless['name']}"]) == [cards.nameless["set"], "old"]
    assert sets_of(found[f"name:{back['name']}"]) == [cards.half["set"], "old"]
    assert found[f"name:{back['name']}"][1]["face_id"] == f"{reprint(cards.half, 1)['id']}:face:1"
    for i, side in enumerate(cards.bare["card_faces"]):
        assert [printing["face_id"] for printing in found[f"name:{side['name']}"]] == [
            f"{card_id}:face:{i}" for card_id in (cards.bare["id"], reprint(cards.bare, 1)["id"])]
    assert front["illustration_id"] in found and f"name:{front['name']}" not in found


def test_only_artworks_of_the_index_are_listed_in_the_order_of_their_keys(listed, cards):
    space = listed[0]
    keys = [line["artwork"] for line in space.lines("mtg_printings.jsonl")]
    assert keys == sorted(set(keys), key=str.encode)
    rows = space.lines("mtg_meta.jsonl")
    assert set(keys) == {row["illustration_id"] or f"name:{row['name']}" for row in rows} - {
        cards.unlisted["illustration_id"]}
    assert not any(printing["rarity"] == "a stranger" for printings in printings_in(space).values()
                   for printing in printings)
    counts = space.manifest()["statistics"]
    assert counts["artworks_with_printings"] == len(keys)
    assert counts["printings"] == sum(len(line["printings"]) for line in space.lines("mtg_printings.jsonl"))


def test_both_manifests_name_the_second_bulk_file(listed):
    space = listed[0]
    known = json.loads((space.cache / "bulk" / "default_cards.json").read_text())
    expected = {"kind": "default_cards", "updated_at": known["updated_at"]}
    assert space.manifest()["source"]["printings"] == expected
    assert space.manifest()["download"]["source"]["printings"] == expected
    assert not list(space.out.glob(".*.part")) and "mtg_printings.jsonl" in space.manifest()["outputs"]


def test_another_printings_file_refreshes_the_list_and_nothing_else(mine, cards):
    """all_cards has other languages. The command that the download suggests builds with it."""
    before = {path.name: path.stat().st_mtime_ns for path in mine.out.glob("mtg_*")}
    done = mine.download("--printings", "all_cards")
    command = shlex.split(done.stderr.splitlines()[-1].removeprefix("Next: python "))
    assert command == ["build_embeddings.py", "--printings", "all_cards"]
    assert mine.run(*command).returncode == 0
    changed = {path.name for path in mine.out.glob("mtg_*") if path.stat().st_mtime_ns != before.get(path.name)}
    assert changed == {"mtg_printings.jsonl"}
    assert [(printing["lang"], printing.get("printed_name"))
            for printing in printings_in(mine)[cards.common["illustration_id"]]] == [
        ("en", None), ("de", "Älterer Wächter"), ("en", None), ("ja", "番人"), ("en", None), ("en", None)]
    assert mine.manifest()["source"]["printings"]["kind"] == "all_cards"


def test_a_large_file_takes_little_memory(tmp_path, cards):
    """Neither its text nor its printings are held: 30,000 of them as objects would take 100 MB."""
    if not Path("/proc/self/status").exists():
        pytest.skip("no /proc here: the peak of a child process alone cannot be read")
    art, count = cards.common["illustration_id"], 30_000
    (tmp_path / "mtg_meta.jsonl.next").write_text("".join(
        json.dumps({"illustration_id": f"{art}{n}", "name": "x"}) + "\n" for n in range(1000)))
    with gzip.open(tmp_path / "bulk.gz", "wb", compresslevel=1) as file:
        for n in range(count):
            card = reprint(cards.common, 0, id=str(n), illustration_id=f"{art}{n % 1000}", oracle_text="words " * 700)
            file.write(json.dumps(card).encode() + b"\n")
    code = ("import re, sys; from pathlib import Path; from mtg_image_db.index.printings_file import stage_printings;"
            "from mtg_image_db.scryfall.bulk import Snapshot; out = Path(sys.argv[1]);"
            "counts, _ = stage_printings(out, Snapshot(out / 'bulk.gz', 'all_cards', None));"
            "print(*counts.values(), re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text()).group(1))")
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True,
                          check=True)
    artworks, printings, kilobytes = map(int, done.stdout.split())
    assert (artworks, printings) == (1000, count) and kilobytes < 80 * 1024


# The download

def test_the_second_file_is_asked_for_once_a_day_and_conditionally(mine, listed):
    mirror, bulk = listed[1], mine.cache / "bulk"
    before = len(mirror.requests)
    mine.download()
    assert len(mirror.requests) == before, "within a day"
    content = (bulk / "default_cards.jsonl.gz").read_bytes()
    assert content == (mirror.root / "default-cards.jsonl.gz").read_bytes()
    age(mine)
    mine.download()
    asked = {request.path: request for request in mirror.requests[before:]}
    assert set(asked) == {"/bulk-data/unique_artwork", "/bulk-data/default_cards"}
    again = asked["/bulk-data/default_cards"]
    assert again.status == 304 and again.headers["If-None-Match"]


@pytest.mark.parametrize("flags, fetched", [
    (["--printings", "none"], ["unique_artwork"]), (["--kind", "default_cards", "--limit", "3"], ["default_cards"]),
    (["--dry-run"], ["unique_artwork"]), (["--bulk-file"], [])])
def test_no_file_is_fetched_unasked_and_none_twice(root, tmp_path, flags, fetched):
    with Mirror(root) as mirror:
        space = Workspace(tmp_path / "space", mirror.url)
        space.path.mkdir()
        own = [str(root / "unique-artwork.jsonl.gz")] if flags == ["--bulk-file"] else []
        space.download(*flags, *own, "--limit", 3)
        assert [request.path.removeprefix("/bulk-data/") for request in mirror.requests
                if request.path.startswith("/bulk-data")] == fetched
        assert sorted(path.name for path in (space.cache / "bulk").glob("*.gz")) == [f"{kind}.jsonl.gz"
                                                                                   for kind in fetched]
        assert len(image_requests(mirror)) == (0 if "--dry-run" in flags else 3)


@pytest.mark.parametrize("match", ["/bulk-data/default_cards", "/default-cards/"])
def test_a_server_without_the_file_is_an_error_that_names_the_way_around(root, tmp_path, match):
    with Mirror(root, faults=[Fault(match, "status", status=404)]) as mirror:
        space = Workspace(tmp_path, mirror.url)
        done = space.download("--limit", 1, code=1)
        assert_three_lines(done.stderr, "Network Error")
        assert "default_cards" in done.stderr and "--printings none" in done.stderr.splitlines()[-1]
        space.download("--limit", 1, "--printings", "none")


def test_prune_keeps_no_picture_for_its_printings_alone(mine, cards):
    """A reprint whose picture only default_cards refers to. After a download of that kind, its pictures are kept."""
    other = reprint(cards.common, 2)
    older = mine.cache / cache_name(f"{cards.common[PICTURES]['normal']}9")
    bulk = mine.cache / "bulk" / "default_cards.jsonl.gz"
    older.write_bytes(mine.pictures()[0].read_bytes())
    other[PICTURES] = {"normal": f"{cards.common[PICTURES]['normal']}9"}
    write_packed(bulk, [other])
    assert "1 pruned" in mine.run("scripts/validate_cache.py", "--prune").stderr and not older.exists()
    shutil.copy(mine.cache / "bulk" / "unique_artwork.jsonl.gz", bulk)  # the same pictures: nothing to fetch
    known = json.loads(bulk.with_name("default_cards.json").read_text())
    mine.download("--kind", "default_cards")
    older.write_bytes(mine.pictures()[0].read_bytes())
    write_packed(bulk, [other])
    age(mine)
    assert "0 pruned" in mine.run("scripts/validate_cache.py", "--prune").stderr and older.exists()
    mine.download()  # fetches it anew for its printings: that it was wanted is not forgotten
    now = json.loads(bulk.with_name("default_cards.json").read_text())
    assert known["pictures"] is False and now["pictures"] is True


# Builds without it

def test_without_the_file_a_build_says_how_to_get_it_and_keeps_no_old_list(mine):
    (mine.cache / "bulk" / "default_cards.jsonl.gz").unlink()
    done = mine.build()
    said = next(line for line in done.stderr.splitlines() if "no printings" in line)
    assert "default_cards.jsonl.gz is missing" in said and said.endswith("run python download_images.py")
    assert not (mine.out / "mtg_printings.jsonl").exists()
    manifest = mine.manifest()
    assert manifest["source"]["printings"] is None and "mtg_printings.jsonl" not in manifest["outputs"]
    assert manifest["statistics"]["printings"] == manifest["statistics"]["artworks_with_printings"] == 0
    assert read_index(mine.out).printings_of(0) == []


def test_a_bulk_file_of_ones_own_lists_printings_if_it_is_of_that_kind(mine, root, cards):
    """--kind says what the file is. Of any other kind, the build says that there are no printings."""
    own = root / "default-cards.jsonl.gz"
    shutil.rmtree(mine.cache / "bulk")
    mine.download("--kind", "default_cards", "--bulk-file", own)
    mine.build("--kind", "default_cards", "--bulk-file", own)
    assert sets_of(printings_in(mine)[cards.common["illustration_id"]]) == ["pro", cards.common["set"], "old", "gold"]
    expected = {"kind": "default_cards", "updated_at": None}
    assert mine.manifest()["source"]["printings"] == mine.manifest()["download"]["source"]["printings"] == expected
    assert "a download without --bulk-file fetches it" in mine.build("--bulk-file", own).stderr


def test_printings_none_leaves_them_out_in_silence(mine):
    """Also what a build that was cut off had written already."""
    (mine.out / "mtg_printings.jsonl.next").write_text("cut off")
    assert "printings" not in mine.build("--printings", "none").stderr
    assert not list(mine.out.glob("mtg_printings*")) and mine.manifest()["source"]["printings"] is None


@pytest.mark.fault("bulk-damaged")
def test_a_damaged_file_of_printings_costs_only_the_printings(mine, root):
    bulk = mine.cache / "bulk" / "default_cards.jsonl.gz"
    bulk.write_bytes(bulk.read_bytes()[:-40])
    done = mine.build()
    assert "The index lists no printings: the bulk file cannot be read" in done.stderr
    assert not list(mine.out.glob("mtg_printings*")) and mine.manifest()["source"]["printings"] is None
    mine.download()
    assert bulk.read_bytes() == (root / "default-cards.jsonl.gz").read_bytes()


def test_one_call_downloads_and_lists_the_new_printings(mine, cards, root, tmp_path):
    """A day later Scryfall knows another printing, and there is no new picture."""
    new = tmp_path / "printings.jsonl.gz"
    write_packed(new, [cards.common, reprint(cards.common, 7, set="new", released_at="2031-01-01")])
    age(mine)
    with Mirror(root, printings=new) as mirror:
        mine.api_url = mirror.url
        mine.run("build_mtg_faiss.py", "--model", "efficientnet-lite0")
    assert list(map(sets_of, printings_in(mine).values())) == [["new", cards.common["set"]]]
    assert mine.manifest()["statistics"]["new_embeddings"] == 0


# The opened index

def test_an_opened_index_gives_the_printings_of_every_row_to_any_thread(listed, cards):
    space = listed[0]
    index, lists = read_index(space.out), printings_in(space)
    rows = list(range(len(index.metadata))) * 4
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(index.printings_of, rows))
    for row, answer in zip(rows, answers, strict=True):
        face = index.face(row)
        expected = lists.get(face["illustration_id"] or f"name:{face['name']}", [])
        assert [{"printed_name": None} | printing for printing in expected] == [
            {field: getattr(printing, field) for field in FIELDS} for printing in answer]
    assert sum(not answer for answer in answers) == 4, "one row's artwork has no printing in the bulk file"


def test_no_other_artwork_is_found(listed):
    printings = Printings(listed[0].out, load_manifest(listed[0].out))
    for wanted in ("", "0", "zzzz", "00000000-0000-0000-0000-000000000000", "\udcff"):
        assert printings.of_artwork(None, wanted) == [] and printings.of_artwork(wanted or None, "x") == []


@pytest.mark.fault("damaged-artefact")
def test_a_damaged_list_is_refused_when_it_is_used(mine):
    path = mine.out / "mtg_printings.jsonl"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    index = read_index(mine.out)
    for _ in range(2):
        with pytest.raises(SuiteError) as error:
            index.printings_of(0)
        assert_three_lines(str(error.value), "Validation Error")
        assert str(path) in str(error.value)
    path.unlink()
    with pytest.raises(SuiteError, match="missing"):
        read_index(mine.out).printings_of(0)


def test_an_index_that_is_open_keeps_its_list_while_another_build_replaces_it(mine, listed):
    index = read_index(mine.out)
    path = mine.out / "mtg_printings.jsonl"
    other = path.with_name("other")
    other.write_bytes(b"of another build\n")
    other.replace(path)
    assert index.printings_of(0) == read_index(listed[0].out).printings_of(0)
