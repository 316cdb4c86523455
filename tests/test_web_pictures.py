"""Pictures in the page: searched, named, or refused in words; their vectors are those that Python makes."""
from __future__ import annotations

import json
import shutil

import numpy as np
from PIL import Image
from web_site import alert, needs_runtime, served

from mtg_image_db.artefacts import cache_name
from mtg_image_db.common import open_pixels


@needs_runtime
def test_a_dropped_picture_is_named_and_more_like_it_shown(tab, site):
    row = 20
    tab.page.get_by_role("searchbox").wait_for()
    tab.page.evaluate("""async ([bytes]) => {
        const file = new File([Uint8Array.from(bytes)], "card.jpg", { type: "image/jpeg" });
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(file);
        document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
    }""", [list(site.picture(row).read_bytes())])
    tab.heading(f"Recognised: {site.meta[row]['name']}")
    assert tab.names()[0] == site.meta[row]["name"]
    assert float(tab.page.locator("#cards .score span").first.inner_text()) > 0.99
    assert tab.page.get_by_role("img", name="Your picture").is_visible()
    tab.shown("named")
    tab.page.get_by_role("button", name=f"More like this: {site.meta[row]['name']}").first.press(
        "Enter")
    tab.heading(f"More like {site.meta[row]['name']}")
    int8 = np.frombuffer((site.workspace.out / "embeddings.i8bin").read_bytes(), np.int8).reshape(53, -1)
    scores = int8.astype(np.float32) @ (int8[row] / np.linalg.norm(int8[row].astype(np.float32))) / 127
    scores[row] = -1
    tab.shown("more")
    shown = [float(text) for text in tab.page.locator("#cards .score span").all_inner_texts()]
    assert np.allclose(shown, np.minimum(1, np.sort(scores)[::-1][:24]), atol=0.0011)
    assert tab.names()[0] == site.meta[int(scores.argmax())]["name"]


@needs_runtime
def test_an_unknown_picture_is_not_sure_and_a_broken_one_an_error_in_words(tab, site, tmp_path):
    Image.effect_noise((488, 680), 60).resize((60, 84)).resize((488, 680)).convert("RGB").save(tmp_path / "other.png")
    (tmp_path / "broken.jpg").write_bytes(site.picture(0).read_bytes()[:300])
    chosen = tab.page.get_by_label("Choose a picture")
    tab.page.get_by_role("searchbox").wait_for()
    chosen.set_input_files(tmp_path / "other.png")
    tab.heading("Not sure. Most like:")
    assert len(tab.names()) == 24
    assert tab.page.get_by_text("Cut the picture to the card").is_visible()
    tab.shown("unsure")
    chosen.set_input_files(tmp_path / "broken.jpg")
    assert "no picture that the browser can read" in alert(tab)
    chosen.set_input_files(site.picture(3))
    tab.heading(f"Recognised: {site.meta[3]['name']}")
    assert tab.page.locator("#error").is_hidden()


@needs_runtime
def test_what_is_no_picture_frame_or_row_is_said_to_an_app_author(tab, site):
    row = 7
    said = tab.ask("""const image = new Image();
        image.src = "asked";
        await image.decode();
        const canvas = document.createElement("canvas");
        [canvas.width, canvas.height] = [800, 700];
        canvas.getContext("2d").drawImage(image, 100, 10);
        const wrong = [() => index.name("card.jpg"), () => index.like(9999), () => index.nearest([1, 2]),
                       () => index.name(file, { frame: { x: 0, y: 0, width: 1, height: 1 } })];
        const errors = [];
        for (const ask of wrong) errors.push(await ask().then(() => "no error", error => error.message));
        const inside = { x: 100, y: 10, width: 488, height: 680 };
        return { errors, image: await index.name(image, { k: 1 }),
                 canvas: await index.name(canvas, { k: 3, frame: inside }) };""", site.picture(row))
    for message, words in zip(said["errors"], ("no picture", "no row 9999", "of two models", "picture's pixels"),
                              strict=True):
        assert words in message
    assert said["image"]["accepted"] and [match["row"] for match in said["image"]["matches"]] == [row]
    assert said["canvas"]["accepted"] and said["canvas"]["matches"][0]["row"] == row
    assert len(said["canvas"]["matches"]) == 3


@needs_runtime
def test_python_and_javascript_agree_on_a_hundred_pictures(tab, site, tmp_path):
    """The cached pictures, and each once more as another kind: scaled, transparent, turned by EXIF, cut."""
    from mtg_image_db.embedding.embedder import Embedder
    from mtg_image_db.embedding.models import describe_model
    from mtg_image_db.embedding.preparation import prepare, resize_with_torch

    paths = [site.picture(row) for row in range(50)]
    for row in range(50):
        picture, path = Image.open(paths[row]).convert("RGB"), tmp_path / f"{row}.png"
        if row % 4 == 0:
            picture = picture.resize((600 + row, 840))
        elif row % 4 == 1:
            picture.putalpha(Image.linear_gradient("L").resize(picture.size))
        elif row % 4 == 2:
            exif = Image.Exif()
            exif[0x0112] = 6
            path = path.with_suffix(".jpg")
            picture.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif, quality=95)
            picture = None
        else:
            picture = picture.crop((0, 60, 488, 400 - row))
        if picture:
            picture.save(path, compress_level=1)
        paths.append(path)
    spec = describe_model("efficientnet-lite0")
    prepared = np.stack([prepare(open_pixels(path), spec, resize_with_torch) for path in paths])
    vectors = Embedder(spec, "cpu", "fp32").embed(prepared)
    int8 = np.frombuffer((site.workspace.out / "embeddings.i8bin").read_bytes(), np.int8).reshape(53, -1)
    scores = np.minimum(1, vectors @ int8.T.astype(np.float32) / 127)
    theirs, cosines = [], []
    for path, vector in zip(paths, vectors, strict=True):
        found = tab.ask("""const vector = await index.embed(file);
            return { vector: Array.from(vector), near: await index.nearest(vector, { k: 10 }) };""", path)
        cosines.append(float(np.dot(found["vector"], vector)))
        theirs.append({match["row"]: match["score"] for match in found["near"]})
    ours = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    same_first = np.mean([next(iter(near)) == rows[0] or scores[i, next(iter(near))] > scores[i, rows[0]] - 1e-3
                          for i, (near, rows) in enumerate(zip(theirs, ours, strict=True))])
    apart = [abs(score - scores[i, row]) for i, near in enumerate(theirs) for row, score in near.items()]
    print(f"\ncosine to Python: least {min(cosines):.4f}, median {np.median(cosines):.4f}; first the same "
          f"{same_first:.3f}; scores at most {max(apart):.4f} apart")
    assert min(cosines) >= 0.99 and same_first >= 0.99
    assert max(apart) < 0.01 and np.mean([len(set(rows) & set(near)) for rows, near in
                                          zip(ours.tolist(), theirs, strict=True)]) > 9


@needs_runtime
def test_another_model_in_the_page_gives_pythons_vectors(tab, site, clip_index, tmp_path):
    """A vision transformer of open_clip's with random weights, and --fit pad."""
    from mtg_image_db.embedding.embedder import Embedder
    from mtg_image_db.embedding.models import describe_model
    from mtg_image_db.embedding.preparation import prepare, resize_with_torch

    work = site.workspace
    shutil.copytree(clip_index.out, tmp_path / "out")
    with served(work, "--index-dir", tmp_path / "out", "--cache", work.cache) as address:
        meta = json.loads((tmp_path / "out" / "meta.json").read_text())
        small, whole = meta["embedding"]["models"]
        assert small["bytes"] < 0.3 * whole["bytes"] and min(small["cosine"], whole["cosine"]) >= 0.99
        row = 5
        path = work.cache / cache_name(meta["records"][row]["image_url"])
        tab.page.goto(address)
        answer = tab.ask("return { ...await index.name(file, { k: 1 }), vector: Array.from(await index.embed(file)) };",
                         path)
    assert answer["accepted"] and answer["matches"][0]["row"] == row and answer["matches"][0]["score"] > 0.98
    cosines = {}
    for fit in ("pad", "crop"):
        spec = describe_model("ViT-S-32-alt", str(clip_index.path / "weights.pt"), fit)
        python, = Embedder(spec, "cpu", "fp32").embed(prepare(open_pixels(path), spec, resize_with_torch)[None])
        cosines[fit] = np.dot(python, answer["vector"])
    print(f"\ncosine of the page's vector to Python's: {cosines}")
    assert cosines["pad"] > 0.999 > cosines["crop"]
