"""The page reads what is printed on cards as Python does: letters, lines, printings, and the list of printings."""
from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from conftest import assert_three_lines
from PIL import Image
from web_site import as_served, in_worker, needs_runtime

from mirror import drawn_scenes
from mtg_image_db.artefacts import PRINTINGS, load_manifest
from mtg_image_db.browser import printing_blocks
from mtg_image_db.browser.freshness import is_current
from mtg_image_db.index.printings import Printings
from mtg_image_db.index.reader import read_index
from mtg_image_db.recognition.finder import Pyramid
from mtg_image_db.recognition.letters import ALPHABET, fits_of, text_of
from mtg_image_db.recognition.printed_lines import scored
from mtg_image_db.recognition.printing_choice import ABSENT, Printing, choose
from mtg_image_db.recognition.text_reader import open_reader
from mtg_image_db.recognition.titles import Titles

OPENS = "/alone"
ROW = 37  # of the card whose printing is read
READS = {"text_lines.onnx", "text_letters.onnx", "text_turns.onnx"}
# The page runs this in a worker too.
WORKER = """
import { readBytes } from "./index/artefacts.js";
import { openCardIndex } from "./index/card_index.js";
import { loadOpenCv } from "./recognition/opencv.js";
import { photoOf } from "./recognition/pictures.js";
import { scored } from "./recognition/printed_lines.js";
import { choose } from "./recognition/printing_choice.js";
import { openReader } from "./recognition/text_reader.js";
import { openTitles } from "./recognition/titles.js";

async function answer(pixels, { printings, quad, names }) {
    await loadOpenCv();
    const index = await openCardIndex(new URL("./", location.href));
    const rules = index.meta.recognition.reading;
    const reader = await openReader(({ file, bytes, sha256 }) =>
        readBytes(new URL(file, location.href), new Uint8Array(bytes), sha256), rules);
    const titles = await openTitles(index, rules.titles);
    const photo = photoOf(pixels);
    const found = await scored(printings, quad, photo.colour, reader);
    const lines = await reader.lines(photo.colour, await reader.find(photo.colour.near(1).mat, 512));
    return { found, choice: choose(found, false, rules.printings), lines, titles: titles.among(lines),
             names: names.map(titles.nameOf) };
}
"""


def test_a_known_text_fits_as_in_python(tab):
    """Random probabilities, with repeated letters, digits beside a number, and a letter that is in no alphabet."""
    random = np.random.default_rng(0)
    strips = np.log(random.dirichlet(np.full(len(ALPHABET), 0.05), (3, 24)).astype(np.float32).clip(1e-6))
    for strip, text in zip(strips, ("1017", "MH1·EN", "xx"), strict=True):
        for column, letter in enumerate(text):
            strip[2 * column + 3, ALPHABET.index(letter)] = strip[2 * column + 4, 0] = 0
    texts = ["017", "0017", "1017", "MH1", "·EN", "xx", "x", "ßß", "日本", ""]
    found = tab.page.evaluate("""async ([strips, texts]) => {
        const { ALPHABET, fitsOf, textOf } = await import("./recognition/letters.js");
        const made = strips.map((columns) => ({ count: columns.length, logs: Float32Array.from(columns.flat()) }));
        const rows = (fits) => fits.map((row) => Array.from(row));
        return { alphabet: ALPHABET, texts: made.map(textOf), anywhere: rows(fitsOf(made, texts)),
                 alone: rows(fitsOf(made, texts, { alone: true })) }; }""", [strips.tolist(), texts])
    assert tuple(found["alphabet"]) == ALPHABET
    assert found["texts"] == [text_of(strip) for strip in strips]
    for name, alone in (("anywhere", False), ("alone", True)):
        assert np.allclose(found[name], fits_of(strips, texts, alone), atol=1e-4), name
    assert found["alone"][0][0] < 0.7 < 0.9 < found["anywhere"][0][0], "a digit stands before 017"


@needs_runtime
def test_the_page_reads_a_printing_and_the_titles_as_python_does(tab, site):
    card = site.meta[ROW]
    photo, (quad,) = drawn_scenes.scene([Image.open(site.picture(ROW))], turn=3, seed=4, share=0.8)
    true = Printing(0.0, "", None, **ABSENT | {name: card[name] for name in (
        "name", "set", "collector_number", "lang", "layout", "frame", "released_at", "scryfall_id", "face_id")})
    others = [replace(true, set="qmx", collector_number="12", face_id="a"), replace(true, set="qmy", face_id="b"),
              replace(true, set="qmz", collector_number="7", released_at="2001-01-01", face_id="c")]
    pixels = np.asarray(photo.convert("RGB"))
    pyramid, reader, titles = Pyramid(pixels), open_reader(), Titles(read_index(site.workspace.out))
    python = scored([*others, true], np.float32(quad), pyramid, reader)
    lines = reader.lines(pyramid, reader.find(pixels, 512))
    names = [card["name"], card["name"].upper()[:-1], card["name"][:-1], "Nobody's Card", "it deals 3 damage.", ""]
    page = in_worker(tab, WORKER, photo, {
        "printings": [asdict(printing) for printing in [*others, true]], "quad": np.float32(quad).tolist(),
        "names": names})
    assert [one["read"] for one in page["found"]] == [one.read for one in python]
    assert np.allclose([one["score"] for one in page["found"]], [one.score for one in python], atol=0.02)
    choice = choose(python, listed=False)
    assert page["choice"]["decided"] and choice.decided
    assert page["choice"]["printings"][0]["face_id"] == choice.printings[0].face_id == card["face_id"]
    assert page["choice"]["printings"][0]["read"]
    assert [line["text"] for line in page["lines"]] == [line.text for line in lines]
    assert np.allclose([line["quad"] for line in page["lines"]], [line.quad for line in lines], atol=0.5)
    title, = (title for title in page["titles"] if title["name"] == card["name"])
    assert np.allclose(title["card"], next(one.card for one in titles.among(lines) if one.name == card["name"]), atol=1)
    assert page["names"] == [titles.name_of(text) for text in names] and page["names"][0] == card["name"]


def test_the_page_lists_the_printings_of_every_artwork(tab, site, monkeypatch):
    """In blocks of 5 printings, so that there are several."""
    manifest = load_manifest(site.workspace.out)
    listed = Printings(site.workspace.out, manifest)
    asked = [(face["illustration_id"], face["name"]) for face in site.meta]
    asked += [("ffffffff", "after all others"), ("0", "before all others"), (None, "Nobody's Card")]
    exported = (site.workspace.out / "printings.bin").read_bytes()
    assert exported == printing_blocks.packed(site.workspace.out / PRINTINGS)
    monkeypatch.setattr(printing_blocks, "BLOCK", 5)
    small = printing_blocks.packed(site.workspace.out / PRINTINGS)
    assert len(small) > 1.2 * len(exported)
    for data in (exported, small):
        as_served(tab.page, "asked", data)
        found = tab.page.evaluate("""async (asked) => {
            const { openPrintings } = await import("./index/printings.js");
            const printings = openPrintings(async () => new Uint8Array(await (await fetch("asked")).arrayBuffer()));
            return Promise.all(asked.map(([artwork, name]) => printings.ofArtwork(artwork, name))); }""", asked)
        assert found == [[asdict(printing) for printing in listed.of_artwork(*one)] for one in asked]
        assert sum(map(len, found)) >= 53 and not any(found[-3:])


def exported_to(folder: Path, site, *flags: str) -> tuple[dict, set[str]]:
    """What meta.json says of reading, and the files of the export."""
    site.workspace.run("export_for_browser.py", "--output-dir", folder, *flags)
    head = json.loads((folder / "meta.json").read_bytes())
    return head.get("recognition", {}), {file.name for file in folder.iterdir()}


def test_the_export_with_and_without_what_reads(site, tmp_path):
    manifest = load_manifest(site.workspace.out)
    told, files = exported_to(tmp_path, site, "--with-model", "--with-reading")
    assert READS | {"printings.bin"} <= files and is_current(tmp_path, manifest)
    reading = told["reading"]
    assert {network["file"] for network in reading["networks"].values()} == READS
    assert len(reading["positions"]) == len(ALPHABET) and reading["alphabet"] == "".join(ALPHABET)
    for name in ("printings.bin", "text_turns.onnx"):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[:-1])
        assert not is_current(tmp_path, manifest), name
        (tmp_path / name).write_bytes(whole)
    other = manifest["outputs"] | {PRINTINGS: {"bytes": 1, "sha256": "0"}}
    assert not is_current(tmp_path, manifest | {"outputs": other}), "the printings of another build"
    meta = (tmp_path / "meta.json").read_bytes()
    (tmp_path / "meta.json").write_bytes(meta.replace(reading["networks"]["find"]["sha256"].encode(), b"0" * 64))
    assert not is_current(tmp_path, manifest), "networks of another version of the package"

    told, files = exported_to(tmp_path, site, "--with-model")
    assert not READS & files and "networks" not in told["reading"] and "printings.bin" in files
    told, files = exported_to(tmp_path, site)
    assert "printings.bin" not in files and not told
    refused = site.workspace.run("export_for_browser.py", "--with-reading", code=None)
    assert refused.returncode != 0
    assert_three_lines(refused.stderr, "Invalid Arguments")
