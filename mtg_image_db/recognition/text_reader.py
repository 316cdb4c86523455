"""A picture -> where lines of text are, and what they say.

    reader = open_reader()
    lines = reader.lines(Pyramid(pixels), reader.find(pixels, side=512))

The networks are PP-OCRv6 small (Baidu, Apache-2.0), from the package rapidocr, whose wheel carries them. ONNX Runtime
runs them. rapidocr's own code is not used: it gives the text only, and not how probable other letters were.
Reads   the ONNX files in the installed package rapidocr
Writes  nothing
"""
from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mtg_image_db.console import SuiteError
from mtg_image_db.onnx_session import open_session
from mtg_image_db.recognition.finder import Picture, Pyramid, Quad, rectangle
from mtg_image_db.recognition.letters import ALPHABET, Letters, text_of

PACKAGE = "rapidocr"
FINDS, READS = "PP-OCRv6_det_small.onnx", "PP-OCRv6_rec_small.onnx"
TURNS = "ch_ppocr_mobile_v2.0_cls_mobile.onnx"  # tells whether a strip stands on its head
HEIGHT, COLUMN = 48, 8  # pixels: of a strip, and of a column that the network reads
MAX_WIDTH = 960  # of a strip: 20 times the height. A name of 30 letters takes 12
TURN_WIDTH = 192  # of the strips that TURNS looks at
BATCH = 8  # strips at a time: they are as wide as the widest
STEP = 32  # the sides of a picture that FINDS looks at are multiples of it
# Of PaddleOCR's own settings: a pixel is text from this probability on, a line from this mean of its pixels on. FINDS
# marks the middle of a line. The line is larger, by this share of its area divided by its outline.
TEXT_PIXEL, TEXT_LINE, LARGER = 0.3, 0.5, 1.6
SURELY_TURNED = 0.9
MIN_SIDE = 3  # pixels of a line, as FINDS sees it
LEAST = 1e-6  # probabilities below it count as this one


class Line(NamedTuple):
    """A line of text: its corners, clockwise from the top left of the text, and what is read there."""
    quad: Quad
    text: str


@lru_cache
def open_reader() -> TextReader:
    """The reader of this process. Raises SuiteError if rapidocr is missing."""
    return TextReader(networks())


def networks() -> Path:
    """The folder of the networks. Raises SuiteError if one is missing. The package is not imported: that takes 0.5 s,
    and needs more packages."""
    package = importlib.util.find_spec(PACKAGE)
    folder = Path(package.origin).parent / "models" if package and package.origin else Path("no such folder")
    if missing := [name for name in (FINDS, READS, TURNS) if not (folder / name).is_file()]:
        raise SuiteError("Configuration Error", "the networks that read text are not installed",
                         f"{', '.join(missing)} of the package {PACKAGE}",
                         "pip install -r requirements.txt, or use --read off.")
    return folder


class TextReader:
    """The three networks. Each is opened when it is first needed. Several threads may use them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @cached_property
    def _finds(self) -> Any:
        return open_session(self._folder / FINDS)

    @cached_property
    def _turns(self) -> Any:
        return open_session(self._folder / TURNS)

    @cached_property
    def _reads(self) -> Any:
        return open_session(self._folder / READS)

    @cached_property
    def positions(self) -> list[int]:
        """Where the network that reads has the letters of ALPHABET."""
        listed = self._reads.get_modelmeta().custom_metadata_map["character"].split("\n")
        position = {letter: at for at, letter in enumerate(["", *listed, " "])}
        return [position[letter] for letter in ALPHABET]

    def find(self, photo: Picture, side: int) -> list[Quad]:
        """The lines of text in an RGB photo (uint8 [H, W, 3]), looked for in one whose longer side has this many
        pixels. Each is float32 [4, 2] in pixels of the photo, clockwise. The text is assumed to be read to the right,
        or downward: see stand_on_head()."""
        import cv2

        scale = min(1.0, side / max(photo.shape[:2]))
        size = [max(STEP, round(length * scale / STEP) * STEP) for length in photo.shape[1::-1]]
        resized = cv2.resize(photo, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        chances = self._run(self._finds, _normalised(np.asarray(resized, np.uint8))[None])[0, 0]
        outlines, _ = cv2.findContours((chances > TEXT_PIXEL).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
        to_photo = np.array([photo.shape[1] / size[0], photo.shape[0] / size[1]], np.float32)
        return [quad * to_photo for outline in outlines if (quad := _line(outline, chances)) is not None]

    def stand_on_head(self, strips: Sequence[Picture]) -> list[bool]:
        """Whether each strip (uint8 [HEIGHT, any width, 3], RGB) shows its text upside down."""
        import cv2

        if not strips:
            return []
        narrow = [cv2.resize(strip, (min(TURN_WIDTH, strip.shape[1]), HEIGHT)) for strip in strips]
        answers = self._run(self._turns, _batch([np.asarray(strip, np.uint8) for strip in narrow], TURN_WIDTH))
        return [bool(answer[1] > SURELY_TURNED) for answer in answers]

    def read(self, strips: Sequence[Picture]) -> list[Letters]:
        """What stands on strips (uint8 [HEIGHT, any width, 3], RGB): see letters.py."""
        found: list[Any] = [None] * len(strips)
        by_width = sorted(range(len(strips)), key=lambda at: strips[at].shape[1])
        for start in range(0, len(by_width), BATCH):
            chosen = by_width[start:start + BATCH]
            width = -(-strips[chosen[-1]].shape[1] // STEP) * STEP
            answers = self._run(self._reads, _batch([strips[at] for at in chosen], width))
            for at, answer in zip(chosen, answers, strict=True):
                columns = answer[:-(-strips[at].shape[1] // COLUMN), self.positions]
                found[at] = np.log(np.maximum(columns, LEAST))
        return found

    def lines(self, photo: Pyramid, quads: Sequence[Quad]) -> list[Line]:
        """Read the lines of an RGB photo that find() has found there."""
        strips = [strip_of(photo, quad) for quad in quads]
        turned = self.stand_on_head(strips)
        letters = self.read([strip[::-1, ::-1] if turn else strip for strip, turn in zip(strips, turned, strict=True)])
        return [Line(np.roll(quad, 2, axis=0) if turn else quad, text_of(read))
                for quad, turn, read in zip(quads, turned, letters, strict=True)]

    @staticmethod
    def _run(session: Any, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(session.run(None, {session.get_inputs()[0].name: pixels})[0])


def strip_of(photo: Pyramid, quad: Quad, width: int | None = None) -> Picture:
    """Cut a line of text out of an RGB photo: uint8 [HEIGHT, width, 3]. Without a width, it has the line's shape."""
    import cv2

    along = float(np.linalg.norm(quad[1] - quad[0]) + np.linalg.norm(quad[2] - quad[3]))
    down = max(1.0, float(np.linalg.norm(quad[3] - quad[0]) + np.linalg.norm(quad[2] - quad[1])))
    width = width or min(MAX_WIDTH, max(HEIGHT // 3, round(HEIGHT * along / down)))
    picture, level = photo.near(2 * HEIGHT / down)
    view = cv2.getPerspectiveTransform(np.float32(quad * level), rectangle(width, HEIGHT))
    # Cubic: of 32 cards that are 250 pixels high, it decides 25 printings, where linear decides 23.
    return np.asarray(cv2.warpPerspective(picture, view, (width, HEIGHT), flags=cv2.INTER_CUBIC,
                                          borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _normalised(picture: Picture) -> NDArray[np.float32]:
    """RGB, uint8 [H, W, 3] -> float32 [3, H, W] from -1 to 1."""
    return np.ascontiguousarray(picture.transpose(2, 0, 1), np.float32) / np.float32(127.5) - np.float32(1)


def _batch(strips: Sequence[Picture], width: int) -> NDArray[np.float32]:
    """The strips side by side in one array, float32 [n, 3, HEIGHT, width]. Beside a narrow strip it is grey."""
    batch = np.zeros((len(strips), 3, HEIGHT, width), np.float32)
    for at, strip in enumerate(strips):
        batch[at, :, :, :strip.shape[1]] = _normalised(strip)
    return batch


def _line(outline: NDArray[np.int32], chances: NDArray[np.float32]) -> Quad | None:
    """The line of text with this outline in what FINDS answers (float32 [H, W]), or None if it is none."""
    import cv2

    middle, (first, second), angle = cv2.minAreaRect(outline)
    if min(first, second) < MIN_SIDE:
        return None
    corners = cv2.boxPoints((middle, (first, second), angle))
    left, top = np.maximum(np.floor(corners.min(axis=0)).astype(int), 0)
    right, bottom = np.ceil(corners.max(axis=0)).astype(int) + 1
    inside = chances[top:bottom, left:right]
    mask = np.zeros(inside.shape, np.uint8)
    cv2.fillPoly(mask, [np.int32(np.round(corners - [left, top]))], 1)
    if not mask.any() or inside[mask > 0].mean() < TEXT_LINE:
        return None
    more = LARGER * first * second / (first + second)  # on both sides together
    return _along_text(np.float32(cv2.boxPoints((middle, (first + more, second + more), angle))))


def _along_text(corners: Quad) -> Quad:
    """The corners of a rectangle, clockwise, so that the first side is a long one that leads to the right, or downward
    if it is steep."""
    if np.linalg.norm(corners[1] - corners[0]) < np.linalg.norm(corners[2] - corners[1]):
        corners = np.roll(corners, -1, axis=0)
    right, down = corners[1] - corners[0]
    steep = abs(right) < 0.3 * abs(down)
    return np.roll(corners, 2, axis=0) if (down < 0 if steep else right < 0) else corners
