"""Answers -> the files of a query: the page of --html, the picture of --annotate, the list of --csv.

    for answer in write_files(named(looks, question, reader), AnswerFiles(html=Path("matches.html")), "54,000 faces"):
        print("\n".join(text_lines(answer)))

Reads   reference pictures in the cache
Writes  the page, the outlined picture, the list, and beside it the cards that the list lacks
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mtg_image_db.artefacts import cache_name
from mtg_image_db.common import InvalidContent, atomic_file, open_picture
from mtg_image_db.console import SuiteError, printable
from mtg_image_db.index.reader import Match
from mtg_image_db.leftovers import remove_leftovers
from mtg_image_db.recognition import annotate, collection, html_report
from mtg_image_db.recognition.cards import LIKELY, RECOGNISED, UNKNOWN, Card
from mtg_image_db.recognition.query import Answer, AnswerWithPhoto, Picture, known_by, summary

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class AnswerFiles:
    """The files to write, or None. annotate is for a single picture. cache has the reference pictures of the page.
    csv_format is one of collection.NAMES. with_likely=True lists likely cards too."""
    html: Path | None = None
    annotate: Path | None = None
    csv: Path | None = None
    csv_format: str = collection.PLAIN
    with_likely: bool = False
    cache: Path | None = None

    @property
    def need_photos(self) -> bool:
        """True if write_files needs the pictures: with_photos of named() and matched()."""
        return self.html is not None or self.annotate is not None

    @property
    def rest(self) -> Path | None:
        """Where the cards go that the list lacks. None without a list, for a list that is a device or a pipe, and for
        the format plain, which lists every card."""
        is_file = self.csv is not None and (self.csv.is_file() or not self.csv.exists())
        if self.csv is None or not is_file or self.csv_format == collection.PLAIN:
            return None
        return self.csv.with_name(f"{self.csv.stem}-rest.csv")


    def check(self, inputs: Sequence[Path]) -> None:
        """Raise SuiteError if a file to write is one of the pictures or another one, or if annotate has several."""
        if self.annotate and len(inputs) > 1:
            raise SuiteError("Invalid Arguments", "--annotate takes one picture", f"{len(inputs)} pictures",
                             "Use --html to see several.")
        written = [path.resolve() for path in (self.html, self.annotate, self.csv, self.rest) if path]
        taken = [path for path in written if path.is_file() and path in {picture.resolve() for picture in inputs}]
        taken += [path for path in written if written.count(path) > 1]
        if taken:
            raise SuiteError("Invalid Arguments", "a file to write is a picture, or another file to write", taken[0],
                             "Give each of --html, --annotate and --csv a file of its own.")


def write_files(answered: Iterator[AnswerWithPhoto], files: AnswerFiles, subtitle: str) -> Iterator[Answer]:
    """Yield each answer, then write what shows it. The page and the list are written after the last answer."""
    sections, done = [], []
    for answer, pixels in answered:
        yield answer  # first: a full disk must not hide it
        if files.html:
            sections.append(_section(answer, pixels, files.cache))
        if files.annotate and pixels is not None and answer.cards:
            annotate.write(files.annotate, annotate.drawn(pixels, answer.cards, answer.scale))
        if files.csv:
            done.append(answer)
    if files.html:
        html_report.write(files.html, subtitle, sections)
    if files.csv:
        _write_list(files.csv, done, files)


def list_notes(done: Sequence[Answer], files: AnswerFiles) -> Iterator[str]:
    """What a person has to know of the list, in sentences."""
    if not files.csv:
        return
    if files.rest:
        yield f"The cards that {files.csv} does not list are in {files.rest}."
    recognised = [card for answer in done for card in answer.recognised]
    if any(not card.printing.set_name for card in recognised):
        yield "Some sets have no name, because an older version built the index. " \
              "The next build adds them and keeps the vectors."
    if undecided := sum(not card.printing_decided for card in recognised):
        yield f"Recognised cards whose printing is not sure: {undecided:,} of {len(recognised):,}. The column " \
              f"printing_decided of --format {collection.PLAIN} names them."


def _write_list(path: Path, done: Sequence[Answer], files: AnswerFiles) -> None:
    listed = {RECOGNISED, LIKELY} if files.with_likely else {RECOGNISED}
    if files.csv_format == collection.PLAIN:
        return _write_text(path, collection.plain_text(done))
    rest = files.rest  # before the list is there
    _write_text(path, collection.FORMATS[files.csv_format].text(collection.printings_in(done, listed)))
    if rest:
        _write_text(rest, collection.plain_text(done, without=listed))


def _write_text(path: Path, text: str) -> None:
    remove_leftovers(path.parent)
    with atomic_file(path) as file:
        file.write(text.encode(errors="surrogateescape"))  # a path that is not UTF-8 keeps its bytes


def _section(answer: Answer, pixels: Picture | None, cache: Path | None) -> str:
    """The answer as HTML."""

    def shown(matches: Sequence[Match]) -> list[tuple[Match, Image | None]]:
        return [(match, reference(cache, match.image_url)) for match in matches]

    groups = [html_report.Group(annotate.caption(card, number), card.state, _detail(card), shown(_as_printed(card)))
              for number, card in enumerate(answer.cards, 1)]
    picture = None if pixels is None else annotate.drawn(pixels, answer.cards, answer.scale, named=False)
    return html_report.section(html_report.Row(
        printable(answer.photo.label), summary(answer.cards) if answer.cards else "", picture, answer.error,
        groups or [html_report.Group("", html_report.UNDECIDED, "", shown(answer.matches))]))


def _as_printed(card: Card) -> Sequence[Match]:
    """The matches of a card, the first one as the printing that the card most likely is."""
    first, *others = card.matches
    if card.state == UNKNOWN:
        return card.matches
    printing = card.printing
    return [replace(first, set=printing.set, collector_number=printing.collector_number,
                    scryfall_uri=printing.scryfall_uri), *others]


def _detail(card: Card) -> str:
    """What the page says below a card's name."""
    parts = [card.state if card.state != UNKNOWN else "most like", f"confidence {card.confidence:.2f}",
             "seen in a mirror" * card.mirrored, known_by(card)]
    return ", ".join(filter(None, parts))


def reference(cache: Path | None, image_url: str) -> Image | None:
    """The picture in the cache. None if there is no valid one."""
    try:
        return None if cache is None else open_picture(cache / cache_name(image_url))
    except (InvalidContent, OSError):
        return None
