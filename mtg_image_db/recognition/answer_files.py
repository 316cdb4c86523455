"""Answers -> the page of --html and the picture of --annotate.

    for answer in write_files(answers(paths, question), AnswerFiles(html=Path("matches.html")), "54,000 faces"):
        print("\n".join(text_lines(answer)))

Reads   reference pictures in the cache
Writes  the page and the outlined picture
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mtg_image_db.artefacts import cache_name
from mtg_image_db.common import InvalidContent, open_picture
from mtg_image_db.console import printable
from mtg_image_db.index.reader import Match
from mtg_image_db.recognition import annotate, html_report
from mtg_image_db.recognition.namer import Card
from mtg_image_db.recognition.query import MOST_LIKE, Answer, AnswerWithPhoto, Picture

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class AnswerFiles:
    """The files to write, or None. annotate is for a single picture. cache has the reference pictures of the page."""
    html: Path | None = None
    annotate: Path | None = None
    cache: Path | None = None

    @property
    def need_photos(self) -> bool:
        """True if write_files needs the pictures: Question.with_photos."""
        return self.html is not None or self.annotate is not None


def write_files(answered: Iterator[AnswerWithPhoto], files: AnswerFiles, subtitle: str) -> Iterator[Answer]:
    """Yield each answer, then write what shows it. The page is written after the last answer."""
    sections = []
    for answer, photo in answered:
        yield answer  # first: a full disk must not hide it
        if files.html:
            sections.append(_section(answer, photo, files.cache))
        if files.annotate and photo is not None and answer.cards:
            annotate.write(files.annotate, annotate.drawn(photo, answer.cards, answer.scale))
    if files.html:
        html_report.write(files.html, subtitle, sections)


def _section(answer: Answer, photo: Picture | None, cache: Path | None) -> str:
    """The answer as HTML."""

    def shown(matches: Sequence[Match]) -> list[tuple[Match, Image | None]]:
        return [(match, _reference(cache, match.image_url)) for match in matches]

    def title(card: Card, number: int) -> str:
        how_sure = f", confidence {card.confidence:.2f}" if card.accepted else MOST_LIKE
        return annotate.caption(card, number) + how_sure + (", seen in a mirror" if card.mirrored else "")

    groups = [html_report.Group(title(card, number), card.accepted, shown(card.matches))
              for number, card in enumerate(annotate.shown(answer.cards), 1)]
    picture = None if photo is None else annotate.drawn(photo, answer.cards, answer.scale)
    return html_report.section(html_report.Row(printable(answer.path.name), picture, answer.error,
                                               groups or [html_report.Group("", True, shown(answer.matches))]))


def _reference(cache: Path | None, image_url: str) -> Image | None:
    """The picture in the cache. None if there is no valid one."""
    try:
        return None if cache is None else open_picture(cache / cache_name(image_url))
    except (InvalidContent, OSError):
        return None
