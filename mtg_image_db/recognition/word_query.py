"""Cards by what their pictures show: the flags and the answer of query_index.py --text.

    answer = ask(index, WordQuestion(["a dragon over a burning village"], exclude=["a text box"], k=10))
    print("\\n".join(text_lines(answer)))

Reads   the index, and the pictures of the question
Writes  the page of --html
"""
from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mtg_image_db.arguments import ArgumentParser, cache_beside, number, one_of
from mtg_image_db.art_windows import ART, REGIONS
from mtg_image_db.console import EXIT_NOTHING, EXIT_OK, printable, say
from mtg_image_db.index.reader import ModelOptions
from mtg_image_db.index.word_search import Found, chance
from mtg_image_db.recognition import html_report
from mtg_image_db.recognition.answer_files import reference
from mtg_image_db.recognition.open_index import OpenIndex

K = 10  # cards, if the person gives no number


@dataclass(frozen=True)
class WordQuestion:
    """What the cards shall fit: texts and pictures. What they shall not fit: exclude. At most k cards that stand out at
    least `least` standard deviations (None: what chance reaches, or for pictures alone any). region is what of the
    cards is compared: the art, or the complete card (None: what the index's vectors are of)."""
    texts: Sequence[str] = ()
    pictures: Sequence[Path] = ()
    exclude: Sequence[str] = ()
    k: int = K
    least: float | None = None
    region: str | None = None

    @property
    def shown(self) -> str:
        wanted = [*(f'"{text}"' for text in self.texts), *(picture.name for picture in self.pictures)]
        return " + ".join(wanted) + "".join(f' - "{text}"' for text in self.exclude)


@dataclass(frozen=True)
class WordAnswer:
    """The cards, the best first. `least` is how far a card had to stand out, in standard deviations, or None. notes say
    what of each picture was compared, if it is not the complete one."""
    question: WordQuestion
    found: Sequence[Found]
    least: float | None
    notes: Sequence[str] = ()


def ask(index: OpenIndex, question: WordQuestion) -> WordAnswer:
    """Search the index. Raises SuiteError if it has no words, or if a picture cannot be read."""
    has_words = bool(question.texts or question.exclude)
    least = chance(len(index)) if question.least is None and has_words else question.least
    pictures, notes = list[Any](question.pictures), []
    region = question.region or index.compared(has_words)
    if region == ART:
        for place, path in enumerate(question.pictures):
            face, pictures[place] = index.art_of(path)
            notes.append(f"{path.name} shows {face.name}: its art is compared." if face else
                         f"The complete picture {path.name} is compared as art: it shows no single card that is "
                         "recognised.")
    elif question.pictures:
        notes.append("The complete pictures are compared with complete cards. To name cards, leave out --image.")
    found = index.search_text(question.texts, pictures, question.exclude, question.k, least, region)
    return WordAnswer(question, found, least, notes)


# The script's flags

def add_flags(parser: ArgumentParser) -> None:
    words = parser.group("words instead of cards to name")
    words.add_argument("--text", action="append", default=[], metavar="WORDS",
                       help='find cards by what their pictures show: "a dragon over a burning village". Several '
                            "add up")
    words.add_argument("--image", action="append", type=Path, default=[], metavar="FILE",
                       help="a picture that the cards shall resemble, beside or instead of --text")
    words.add_argument("--not", action="append", default=[], dest="exclude", metavar="WORDS",
                       help="what the pictures shall not show")
    words.add_argument("--region", type=one_of(*REGIONS), metavar="PART",
                       help="what is compared: the complete card, or the art alone "
                            "(default: for --image alone the art if the index has vectors of "
                            "it, else the card)")
    words.add_argument("--least", type=number(float, -100, 100), metavar="S",
                       help="how far a card must stand out of all, in standard deviations (default: as far as one of "
                            "all cards does by chance)")


def is_asked(args: argparse.Namespace) -> bool:
    """True if the arguments ask for cards by words or a picture, and not to name cards."""
    return bool(args.text or args.image)


def check(args: argparse.Namespace) -> Iterator[str]:
    """Yield a sentence for each invalid combination of arguments."""
    if is_asked(args) and (args.images or args.annotate or args.csv):
        yield "IMAGE, --annotate and --csv: name cards, so they do not go with --text and --image, which find cards"
    others = {"--not": args.exclude, "--region": args.region, "--least": args.least is not None}
    if not is_asked(args) and any(others.values()):
        given = " and ".join(flag for flag, is_given in others.items() if is_given)
        yield f"{given}: only with --text WORDS or --image FILE"
    yield from (f"--image {path}: no such file" for path in args.image if not path.is_file())
    yield from (f"{flag} '{text}': give a word" for flag, texts in (("--text", args.text), ("--not", args.exclude))
                for text in texts if not text.strip())


def run(args: argparse.Namespace, model: ModelOptions) -> int:
    """Answer the question of the arguments on stdout. Returns the exit code."""
    say(f"Opening the index in {args.index_dir}.")
    index = OpenIndex(args.index_dir, model, read="off")
    answer = ask(index, WordQuestion(args.text, args.image, args.exclude, args.k or K, args.least,
                                     args.region))
    for note in answer.notes:
        say(printable(note))
    lines = [json_line(answer)] if args.json else [printable(line) for line in text_lines(answer)]
    print("\n".join(lines), end="\n" * bool(lines), flush=True)
    say(printable(explained(answer, len(index))))
    if args.html:
        write_page(args.html, answer, args.cache or cache_beside(args.index_dir), f"{len(index):,} faces")
        say(f"Shown in {args.html}.")
    return EXIT_OK if answer.found else EXIT_NOTHING


# The answer

def text_lines(answer: WordAnswer) -> Iterator[str]:
    """Yield a line for each card."""
    for face in answer.found:
        address = face.scryfall_uri or face.image_url
        printing = f"[{face.set} {face.collector_number}]"
        yield f"{face.rank}. {face.name} {printing} stands_out={face.stands_out:.2f} {address}".rstrip()


def json_line(answer: WordAnswer) -> str:
    """The answer as one JSON object, in ASCII: names come from the network."""
    question = answer.question
    return json.dumps({"query": {"text": list(question.texts), "image": list(map(str, question.pictures)),
                                 "not": list(question.exclude), "region": question.region},
                       "least": answer.least and round(answer.least, 2),
                       "matches": [asdict(face) for face in answer.found]})


def explained(answer: WordAnswer, rows: int) -> str:
    """What the numbers mean, in a sentence."""
    if answer.least is None:
        return f"The cards most like {answer.question.shown}, of {rows:,}."
    best = f"{len(answer.found)} card{'s' * (len(answer.found) != 1)}" if answer.found else "No card"
    why = f"as far as one of {rows:,} cards does by chance" if answer.question.least is None else "as --least says"
    return f"{best} for {answer.question.shown}. A card is shown if it stands out by {answer.least:.1f}: {why}."


def write_page(path: Path, answer: WordAnswer, cache: Path, subtitle: str) -> None:
    """Write the cards as one HTML page. Pictures that are not in the cache are linked."""
    shown = [(face, reference(cache, face.image_url), f"stands out by {face.stands_out:.2f}") for face in answer.found]
    html_report.write(path, " ".join([subtitle, *answer.notes]), [html_report.gallery(answer.question.shown, shown)],
                      "Cards found")
