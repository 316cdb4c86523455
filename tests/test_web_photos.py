"""Photos in the page: their cards are outlined and named as Python names them, and corners can be corrected."""
from __future__ import annotations

import io
import re
import shutil

import numpy as np
import pytest
from PIL import Image
from web_site import alert, needs_runtime, served

from mirror.drawn_scenes import scene
from mtg_image_db import open_index
from mtg_image_db.artefacts import cache_name
from mtg_image_db.common import open_pixels

ROWS = 3, 17, 30


def table(site, rows=ROWS, **options) -> tuple[bytes, list]:
    """A photo of the cards of these rows on a table, as JPEG, and their corners."""
    photo, quads = scene([Image.open(site.picture(row)).convert("RGB") for row in rows], "wood", seed=5,
                         size=(1200, 900), **options)
    data = io.BytesIO()
    photo.save(data, "JPEG", quality=92)
    return data.getvalue(), quads


def chosen(tab, data: bytes, name: str = "photo.jpg") -> None:
    tab.page.locator("main > *").wait_for()
    tab.page.goto(f"{tab.page.url.split('#')[0]}#photo")
    tab.page.locator("#file").set_input_files({"name": name, "mimeType": "image/jpeg", "buffer": data})


@needs_runtime
def test_the_cards_of_a_photo_are_those_that_python_finds(tab, site):
    data, _ = table(site)
    chosen(tab, data)
    tab.heading("3 cards recognised")
    shown = tab.page.locator(".found .row b").all_inner_texts()
    theirs = open_index(site.workspace.out).name(data)
    assert shown == ["Unknown card" if card.state == "unknown" else card.matches[0].name for card in theirs]
    assert tab.page.locator(".outlines polygon.recognised").count() == 3
    assert shown[0] in tab.heard("3 cards recognised")
    tab.page.locator(".outlines .mark").nth(0).click()
    assert tab.page.locator(".found > li.chosen b").first.inner_text() == shown[0]
    assert tab.page.locator(".found .matches li").count() == 3
    tab.shown("photo")
    tab.page.get_by_role("button", name="Add the 3 recognised").click()
    tab.page.locator("#badge", has_text="3").wait_for()


@needs_runtime
def test_a_corner_is_dragged_and_the_answer_follows(tab, site):
    data, _ = table(site, ROWS[:1], share=0.7, turn=8)
    chosen(tab, data)
    tab.heading("1 card recognised")
    tab.page.locator(".stage:not(.busy)").wait_for()  # what is printed has been read
    handle = tab.page.locator(".handle").nth(2)
    box = handle.bounding_box()
    place = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    wrong = place[0] - 150, place[1] - 190
    drag(tab, place, wrong)
    tab.heading("No card was recognised")
    drag(tab, wrong, place)
    tab.heading("1 card recognised")
    assert tab.page.locator(".found .row b").inner_text() == site.meta[ROWS[0]]["name"]
    before = handle.get_attribute("aria-valuetext")
    handle.press("ArrowRight")
    tab.page.locator(f".handle[aria-valuetext='{before}']").wait_for(state="detached")  # an answer to new corners


def drag(tab, start: tuple[float, float], end: tuple[float, float]) -> None:
    tab.page.mouse.move(*start)
    tab.page.mouse.down()
    tab.page.mouse.move(*end, steps=3)
    tab.page.mouse.up()


@needs_runtime
def test_what_is_no_card_and_no_picture_is_said_in_words(tab, site):
    noise = io.BytesIO()
    Image.effect_noise((60, 84), 60).resize((244, 340)).convert("RGB").save(noise, "PNG")
    chosen(tab, noise.getvalue())
    tab.heading("No card was recognised")
    assert tab.page.locator(".found .state").inner_text() == "Not known"
    chosen(tab, site.picture(0).read_bytes()[:300])
    assert "no picture that the browser can read" in alert(tab)
    chosen(tab, b"\0\0\0\x18ftypheic" + bytes(400), "photo.heic")
    assert "HEIC" in alert(tab)
    chosen(tab, site.picture(3).read_bytes())
    tab.heading("1 card recognised")
    assert tab.page.locator("#error").is_hidden()


@pytest.mark.long
@needs_runtime
def test_a_picture_is_dropped_anywhere(tab, site):
    row = 20
    tab.page.locator("main > *").wait_for()
    tab.page.evaluate("""async ([bytes]) => {
        const file = new File([Uint8Array.from(bytes)], "card.jpg", { type: "image/jpeg" });
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(file);
        document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
    }""", [list(site.picture(row).read_bytes())])
    tab.heading("1 card recognised")
    assert tab.page.locator(".found .row b").inner_text() == site.meta[row]["name"]
    tab.page.get_by_text("Details", exact=True).click()
    similarity = tab.page.locator(".numbers dd").nth(1).inner_text()
    assert float(similarity) == 1, "it is the indexed picture itself, as in query_index.py"


@needs_runtime
def test_an_app_author_hears_what_is_wrong(tab, site):
    row = 7
    said = tab.ask("""const image = new Image();
        image.src = "asked";
        await image.decode();
        const wrong = [() => index.name("card.jpg"), () => index.like(9999), () => index.nearest([1, 2]),
                       () => index.card("none")];
        const errors = [];
        for (const ask of wrong) errors.push(await ask().then(() => "no error", error => error.message));
        return { errors, image: await index.name(image, { k: 1 }) };""", site.picture(row).read_bytes())
    for message, words in zip(said["errors"], ("no picture", "no row 9999", "of two models", "no such card"),
                              strict=True):
        assert words in message
    card, = said["image"]["cards"]
    assert card["accepted"] and [match["row"] for match in card["matches"]] == [row]


@needs_runtime
def test_vectors_are_pythons(tab, site):
    """Cached pictures, and each once more as another kind: scaled, transparent, turned by EXIF, cut."""
    from mtg_image_db.embedding.embedder import Embedder
    from mtg_image_db.embedding.models import describe_model
    from mtg_image_db.embedding.preparation import prepare, resize_with_torch

    pictures = [site.picture(row).read_bytes() for row in range(4)] + [_changed(site, row) for row in range(8)]
    spec = describe_model("efficientnet-lite0")
    prepared = np.stack([prepare(open_pixels(data), spec, resize_with_torch) for data in pictures])
    vectors = Embedder(spec, "cpu", "fp32").embed(prepared)
    int8 = np.frombuffer((site.workspace.out / "embeddings.i8bin").read_bytes(), np.int8).reshape(len(site.meta), -1)
    scores = np.minimum(1, vectors @ int8.T.astype(np.float32) / 127)
    for at, (data, vector) in enumerate(zip(pictures, vectors, strict=True)):
        found = tab.ask("const vector = await index.embed(file);"
                        "return { vector: Array.from(vector), near: await index.nearest(vector, { k: 5 }) };", data)
        assert np.dot(found["vector"], vector) >= 0.99, at
        assert max(abs(match["score"] - scores[at, match["row"]]) for match in found["near"]) < 0.01, at
        assert scores[at, found["near"][0]["row"]] > scores[at].max() - 1e-3, at


def _changed(site, row: int) -> bytes:
    picture, data, options = Image.open(site.picture(row)).convert("RGB"), io.BytesIO(), {"format": "PNG"}
    if row % 4 == 0:
        picture = picture.resize((600 + row, 840))
    elif row % 4 == 1:
        picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    elif row % 4 == 2:
        exif = Image.Exif()
        exif[0x0112] = 6
        picture, options = picture.transpose(Image.Transpose.ROTATE_90), {"format": "JPEG", "exif": exif, "quality": 95}
    else:
        picture = picture.crop((0, 60, 488, 400 - row))
    picture.save(data, **options)
    return data.getvalue()


@pytest.mark.long
@needs_runtime
def test_another_model_in_the_page_gives_pythons_vectors(tab, site, clip_index, tmp_path):
    """A vision transformer of open_clip's with random weights, and --fit pad."""
    from mtg_image_db.embedding.embedder import Embedder
    from mtg_image_db.embedding.models import describe_model
    from mtg_image_db.embedding.preparation import prepare, resize_with_torch

    work = site.workspace
    shutil.copytree(clip_index.out, tmp_path / "out")
    with served(work, "--index-dir", tmp_path / "out", "--cache", work.cache, "--read", "off") as address:
        text = (tmp_path / "out" / "meta.json").read_text()
        assert re.search(r'"model.int8.onnx"', text)
        row = 5
        data = (work.cache / cache_name(site.meta[row]["image_url"])).read_bytes()
        tab.page.goto(address)
        answer = tab.ask("return { ...await index.name(file, { k: 1 }), vector: Array.from(await index.embed(file)) };",
                         data)
    card, = answer["cards"]
    assert card["accepted"] and card["matches"][0]["name"] == site.meta[row]["name"]
    cosines = {}
    for fit in ("pad", "crop"):
        spec = describe_model("ViT-S-32-alt", str(clip_index.path.with_suffix(".pt")), fit)
        python, = Embedder(spec, "cpu", "fp32").embed(prepare(open_pixels(data), spec, resize_with_torch)[None])
        cosines[fit] = np.dot(python, answer["vector"])
    assert cosines["pad"] > 0.999 > cosines["crop"]
    assert card["matches"][0]["cosine"] == pytest.approx(1, abs=0.02)
