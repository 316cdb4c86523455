"""Python and JavaScript find the same places: places.py and web/recognition/places.js, on the same pixels."""
from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from web_site import in_worker, needs_runtime

from mirror.drawn_scenes import scene
from mtg_image_db.recognition.finder import intersection_over_union
from mtg_image_db.recognition.places import MIN_CONFIDENCE, guesses, same_place

OPENS = "/alone"
SIZE = 480, 640
# (Rows of the cards, table, the rest of the scene). The second photo cuts its card off, the third is wider than high,
# and the last one shows many outlines.
SCENES = [([3], "wood", {}), ([9], "black", {"shift": (0.3, 0.1), "share": 0.8}),
          ([5, 21], "clutter", {"size": (640, 480)}), (list(range(6)), "cloth", {"share": 0.9})]
SAME = 0.95  # intersection over union. Of 517 places in 42 photos, all have more
CLOSE = 0.03  # confidences and their threshold: the two run the networks with different programs
# The page runs this in a worker too.
WORKER = """
import { cv, loadOpenCv } from "./recognition/opencv.js";
import { photoOf } from "./recognition/pictures.js";
import { openPlaces } from "./recognition/places.js";

const bytes = async (file) => new Uint8Array(await (await fetch(file)).arrayBuffer());
const opened = Promise.all([bytes("card_corners.onnx"), bytes("corner_refiner.onnx"), loadOpenCv()])
    .then(([corners, refiner]) => openPlaces(corners, refiner));

const answers = {
    found: (places, pixels) => seen(pixels, places.guesses),
    inFrames: (places, pixels) => seen(pixels, async (photo) => {
        const first = await places.quickPlaces(photo);
        return [first, await places.quickPlaces(photo, [first[0].quad])];
    }),
    async memory(places, pixels) {
        await seen(pixels, places.guesses);
        return [100, 1e4, 4e6].map((length) => {
            const next = new cv.Mat(1, length, cv.CV_8U);
            const at = next.data.byteOffset;
            next.delete();
            return at;
        });
    },
};

async function seen(pixels, look) {
    const photo = photoOf(pixels);
    const answer = await look(photo);
    photo.close();
    return answer;
}

const answer = async (pixels, what) => answers[what](await opened, pixels);
"""


@pytest.fixture(scope="module")
def photos(site) -> list[tuple[Image.Image, list[np.ndarray]]]:
    return [scene([Image.open(site.picture(row)) for row in rows], table, seed=rows[0], **{"size": SIZE, **options})
            for rows, table, options in SCENES]


@needs_runtime
def test_javascript_finds_the_places_that_python_finds(tab, photos):
    for photo, quads in photos:
        expected = [(place.quad, place.confidence, place.sure) for place in guesses(np.asarray(photo))]
        found = [(np.float32(place["quad"]), place["confidence"], place["sure"])
                 for place in in_worker(tab, WORKER, photo, "found")]
        assert len(expected) > len(quads)
        for these, others in ((expected, found), (found, expected)):
            for quad, confidence, sure in these:
                if 0 < confidence < MIN_CONFIDENCE + CLOSE:
                    continue
                like = [other for other in others if np.abs(other[0] - quad).max() < 0.03 * np.ptp(quad)
                        and intersection_over_union(other[0], quad) > SAME]
                assert any(abs(other[1] - confidence) < CLOSE and abs(other[2] - sure) < 2 * CLOSE for other in like), \
                    (quad, confidence, sure, others)


@needs_runtime
def test_a_camera_finds_a_card_and_holds_it_and_frames_leave_no_memory_behind(tab, photos):
    photo, quads = photos[0]
    found, held = in_worker(tab, WORKER, photo, "inFrames")
    shared = [max(intersection_over_union(place["quad"], quads[0]) for place in one) for one in (found, held)]
    assert shared[0] > 0.85 and shared[1] > 0.9, shared
    first, *later = [in_worker(tab, WORKER, photo, "memory") for _ in range(3)]
    assert later == [first, first], "OpenCV puts the next picture elsewhere: an earlier one is still there"


def test_two_guesses_are_of_one_place_as_in_python(tab):
    random = np.random.default_rng(1)
    card = np.float32([[0, 0], [63, 0], [63, 88], [0, 88]])
    pairs = [(card, card * random.uniform(0.6, 1.1) + random.uniform(-20, 20, 2) + random.uniform(-4, 4, (4, 2)))
             for _ in range(200)]
    expected = [bool(same_place(*pair)) for pair in pairs]
    assert 40 < sum(expected) < 160
    assert tab.page.evaluate("""async (pairs) => {
        const { samePlace } = await import("./recognition/places.js");
        return pairs.map(([quad, other]) => samePlace(quad, other)); }""",
                             [[quad.tolist() for quad in pair] for pair in pairs]) == expected
