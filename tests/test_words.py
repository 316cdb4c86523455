"""Cards by words: the text side of the index's own model, what stands out, and who is told that there are no words."""
from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from conftest import ROOT, Workspace, assert_three_lines
from test_service import asked

import mtg_image_db
from mtg_image_db.artefacts import TEXT_MODEL, TOKENIZER, cache_name
from mtg_image_db.browser.server import application, bound, serving
from mtg_image_db.browser.site import Site
from mtg_image_db.embedding.text_embedder import TextEmbedder
from mtg_image_db.index.word_search import Part, best_rows, chance

TEXTS = ["a dragon over a burning village", "Urza's Saga!!  don't", "“Sleeping Dragon”, Kongming’s",
         "日本語 カード 3/3", "Lim-Dûl’s Vault", "it's 2 o'clock — ok…", "e\u0301t\u00e9 Jötun",
         "tab\tnew\nline", "🐉 fire", "word " * 100]
EVERY = "--least", -100


@pytest.fixture(scope="module")
def clip(clip_index):
    """(the model of clip_index in open_clip itself, its tokenizer)."""
    from mtg_image_db.embedding.open_clip_models import import_open_clip

    open_clip, weights = import_open_clip(), clip_index.path.with_suffix(".pt")
    model = open_clip.create_model("ViT-S-32-alt", pretrained=str(weights), weights_only=True)
    return model.eval(), open_clip.get_tokenizer("ViT-S-32-alt")


def vectors_of(clip, texts: list[str]) -> np.ndarray:
    import torch

    model, tokenizer = clip
    with torch.no_grad():
        found = model.encode_text(tokenizer(texts)).numpy()
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def matches(space: Workspace, *flags: object) -> list[dict]:
    return json.loads(space.query(*flags, "--json").stdout)["matches"]


def deviations(space: Workspace, vectors: np.ndarray) -> np.ndarray:
    """How far each row stands out for each vector, calculated anew: [N, len(vectors)]."""
    cosines = np.load(space.out / "mtg_embeddings.npy") @ vectors.T
    apart = cosines - np.median(cosines, axis=0)
    return apart / (1.4826 * np.median(np.abs(apart), axis=0))


def test_words_become_open_clips_tokens_and_vectors(clip_index, clip):
    words = TextEmbedder(clip_index.out / TEXT_MODEL, clip_index.out / TOKENIZER)
    assert np.array_equal(words.tokens(TEXTS), clip[1](TEXTS).numpy())
    assert (words.embed(TEXTS) * vectors_of(clip, TEXTS)).sum(axis=1).min() > 0.9999
    assert words.tokens(["<end_of_text> x"])[0, 1] != 49407, "what a person types is no command"


def test_cards_are_found_by_words_pictures_and_what_they_do_not_show(clip_index, clip, tmp_path):
    dragon, text_box = vectors_of(clip, ["a dragon", "a text box"])
    row = 7
    path = clip_index.cache / cache_name(clip_index.lines("mtg_meta.jsonl")[row]["image_url"])
    picture = np.load(clip_index.out / "mtg_embeddings.npy")[row]
    apart = deviations(clip_index, np.stack([dragon, picture, text_box]))
    for flags, expected in ((("--text", "a dragon"), apart[:, 0]),
                            (("--image", path), apart[:, 1]),
                            (("--text", "a dragon", "--not", "a text box"), (apart[:, 0] - apart[:, 2]) / np.sqrt(2)),
                            (("--text", "a dragon", "--image", path, "--not", "a text box"),
                             (apart[:, 0] + apart[:, 1] - apart[:, 2]) / np.sqrt(3))):
        found = matches(clip_index, *flags, *EVERY, "--k", 20)
        assert [one["rank"] for one in found] == list(range(1, 21))
        assert np.allclose([one["stands_out"] for one in found], np.sort(expected)[::-1], atol=0.05), flags
        assert np.allclose([one["stands_out"] for one in found], expected[[one["row"] for one in found]], atol=0.05)
        assert len(found[0]["cosines"]) == len(flags) // 2
    assert matches(clip_index, "--image", path, *EVERY)[0]["row"] == row
    few = matches(clip_index, "--text", "a dragon", "--least", np.sort(apart[:, 0])[-4] + 0.01)
    assert len(few) == 3, "what stands out less is left out"

    page = tmp_path / "found.html"
    done = clip_index.query("--text", "a dragon", "--not", "<b>", *EVERY, "--html", page)
    lines = done.stdout.splitlines()
    assert len(lines) == 10 and lines[0].startswith("1. ") and "stands_out=" in lines[0]
    assert '"a dragon" - "<b>"' in done.stderr and "stands out by" in done.stderr
    html = page.read_text()
    assert html.count("<figure>") == 10 and "&lt;b&gt;" in html and "<b>&quot;" not in html


def test_a_question_without_an_answer_says_so(clip_index, finished, tmp_path):
    done = clip_index.query("--text", "a dragon", "--least", 99, code=2)
    assert done.stdout == "" and "No card for \"a dragon\"" in done.stderr
    for flags in (("--text", " "), ("--text", "x", "a.jpg"), ("--not", "x", "a.jpg"), ("--text", "x", "--csv", "a")):
        assert_three_lines(clip_index.query(*flags, code=1).stderr, "Invalid Arguments")
    done = finished.query("--text", "a dragon", code=1)
    assert_three_lines(done.stderr, "Configuration Error")
    assert "efficientnet-lite0 knows pictures only" in done.stderr and "--model ViT-B-32-quickgelu" in done.stderr
    damaged = Workspace(tmp_path / "damaged")
    shutil.copytree(clip_index.out, damaged.out)
    (damaged.out / TEXT_MODEL).write_bytes((damaged.out / TEXT_MODEL).read_bytes()[:-1])
    assert_three_lines(damaged.query("--text", "a dragon", code=1).stderr, "Validation Error")


def test_programs_find_cards_by_words_too(clip_index, site):
    index = mtg_image_db.open_index(clip_index.out)
    expected = [(one.row, one.stands_out) for one in index.search_text(["a dragon"], exclude=["a sea"], k=3, least=-9)]
    assert expected == [(one["row"], one["stands_out"]) for one in matches(
        clip_index, "--text", "a dragon", "--not", "a sea", *EVERY, "--k", 3)]
    with pytest.raises(mtg_image_db.SuiteError, match="nothing to search for"):
        index.search_text([], exclude=["a sea"])
    files = Site(ROOT / "web", clip_index.out, clip_index.cache, clip_index.out)
    with bound("127.0.0.1", 0) as listening, serving(application(files, index, []), listening):
        address = f"http://localhost:{listening.getsockname()[1]}"
        status, _, said = asked(address, "/api/cards?text=a%20dragon&not=a%20sea&limit=3")
        assert status == 200 and said["total"] == len(said["cards"]) <= 3
        assert [one["row"] for one in said["cards"]] == [row for row, apart in expected if apart >= chance(20)]
    status, _, said = asked(site.address, "/api/cards?text=a%20dragon")
    assert status == 501 and "knows pictures only" in said["details"] and "--model" in said["suggestion"]


def test_what_stands_out_by_chance_alone_is_left_out():
    """20,000 random vectors. 1.5% of them fit a question a little, as the cards with a dragon do among all cards."""
    random = np.random.default_rng(0)
    vectors = random.standard_normal((20_000, 64)).astype(np.float32)
    question, other = (one / np.linalg.norm(one) for one in random.standard_normal((2, 64)).astype(np.float32))
    vectors[:300] += 7 * question
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = best_rows(vectors, [Part(question)], 1000)
    assert len(found) >= 280 and sum(one.row >= 300 for one in found) <= 4
    assert len(best_rows(vectors, [Part(other)], 1000)) <= 4
    assert best_rows(vectors, [Part(question)], 2) == found[:2]
    both = best_rows(vectors, [Part(question), Part(other, -1)], 1000)
    assert sum(one.row < 300 for one in both) / len(both) > 0.95
