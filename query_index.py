"""Name the cards in a picture: find them, embed them with the index's model, and print the nearest faces.

    python query_index.py photo.jpg --k 5 --html matches.html
    python query_index.py --text "a dragon over a burning village"

Reads   the pictures, and the index with its model in <index-dir>
Writes  matches to stdout, and the files of --html, --annotate and --csv
"""
from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# Before numpy is imported. Its matrices are small here: more threads only cost their start, 0.04 s of 0.73.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from mtg_image_db.arguments import OUT, ArgumentParser, cache_beside, number, one_of, output_file, picture_source
from mtg_image_db.console import EXIT_NOTHING, EXIT_OK, Progress, SuiteError, entry_point, per_second, printable, say
from mtg_image_db.embedding.runtimes import RunOptions, add_run_options
from mtg_image_db.index.hnsw import MAX_EF
from mtg_image_db.index.reader import ModelOptions, open_both
from mtg_image_db.picture_formats import READABLE
from mtg_image_db.recognition import annotate, collection, query, word_query
from mtg_image_db.recognition.answer_files import AnswerFiles, list_notes, write_files
from mtg_image_db.recognition.card_reader import AUTO, READ, CardReader
from mtg_image_db.recognition.cards import LIKELY
from mtg_image_db.recognition.decision import Question
from mtg_image_db.recognition.photo_files import photos_of
from mtg_image_db.recognition.query import Answer, json_line, summary, text_lines


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = ArgumentParser(__doc__, " IMAGE|FOLDER|- [...]")
    parser.add_argument("images", nargs="*", type=picture_source, metavar="IMAGE",
                        help="pictures to name; a folder stands for its pictures, - for a list of files on stdin")
    parser.add_argument("--index-dir", type=Path, default=OUT, metavar="DIR",
                        help="where the build wrote (default: index_out)")
    parser.add_argument("--find", type=one_of("auto", "off"), default="auto", metavar="HOW",
                        help="auto: find the cards in the picture; off: the picture is the card (default: auto)")
    parser.add_argument("--read", type=one_of(*READ), default=AUTO, metavar="HOW",
                        help="auto: read printed text where it decides something; off: never (default: auto)")
    parser.add_argument("--k", type=number(int, 1), metavar="K",
                        help=f"matches printed of each card, at least 1 (default: 1; for words: {word_query.K})")
    word_query.add_flags(parser)
    output = parser.group("output")
    output.add_argument("--json", action="store_true", help="print one JSON object for each picture, one per line")
    output.add_argument("--html", type=output_file, metavar="FILE", help="write a page of queries and matches")
    output.add_argument("--annotate", type=output_file, metavar="FILE",
                        help="write the picture with the cards outlined and named: .jpg, .png or .webp")
    output.add_argument("--csv", type=output_file, metavar="FILE",
                        help="write a list of the cards, for a collection manager")
    output.add_argument("--format", type=one_of(*collection.NAMES), default=collection.PLAIN, metavar="FORMAT",
                        help=f"of --csv: {', '.join(collection.NAMES)} (default: {collection.PLAIN})")
    output.add_argument("--include", type=one_of(LIKELY), metavar="STATE",
                        help=f"{LIKELY}: list cards too that are only likely (default: recognised cards only)")
    output.add_argument("--cache", type=Path, metavar="DIR",
                        help="reference pictures for --html. Missing ones are linked (default: image_cache beside the "
                             "index)")
    search = parser.group("index")
    search.add_argument("--ef-search", type=number(int, 1, MAX_EF), metavar="N",
                        help="effort of the search (default: what the index stores)")
    search.add_argument("--exact", action="store_true", help="compare with every vector, without the graph")
    model = parser.group("model")
    model.add_argument("--pretrained", metavar="TAG|FILE", help="the index's weights, if they have moved")
    add_run_options(model)
    return parser.parse(argv, check_arguments)


def check_arguments(args: argparse.Namespace) -> Iterator[str]:
    """Yield a sentence for each invalid combination of arguments."""
    if args.images == [] and not word_query.is_asked(args):
        yield "IMAGE: name at least one picture, or give --text WORDS"
    yield from word_query.check(args)
    if args.annotate and args.annotate.suffix.lower() not in annotate.FORMATS:
        yield f"--annotate {args.annotate}: must end in {', '.join(annotate.FORMATS)}"
    if args.find == "off" and (args.annotate or args.csv):
        yield "--annotate and --csv: show the cards that --find auto finds"
    if not args.csv and (args.include or args.format != collection.PLAIN):
        yield "--format and --include: are for --csv FILE"


def print_answer(answer: Answer, args: argparse.Namespace, several: bool) -> None:
    lines = [json_line(answer)] if args.json else [printable(line) for line in text_lines(answer)]
    if lines and several and not args.json:
        lines.insert(0, printable(answer.photo.label))
    print("\n".join(lines), end="\n" * bool(lines), flush=True)
    if answer.error and several:
        say(f"Left out: {printable(answer.photo.label)}: {answer.error}")
    elif answer.error:
        say(str(SuiteError("Validation Error", "a picture could not be read", f"{answer.photo.label}: {answer.error}",
                           f"Give a complete {READABLE}.")))


def report(done: Sequence[Answer], args: argparse.Namespace, files: AnswerFiles, seconds: float) -> None:
    pictures = f"{len(done):,} picture{'s' * (len(done) != 1)}"
    if args.find == "off":
        text = f"Matched {sum(bool(answer.matches) for answer in done):,} of {pictures}"
    else:
        cards = [card for answer in done for card in answer.cards]
        text = f"{pictures}, {summary(cards)}" if cards else f"{pictures}, no card"
    annotated = args.annotate if any(answer.cards for answer in done) else None
    shown = " and ".join(str(path) for path in (args.html, annotated, args.csv) if path)
    say(f"{text}{per_second(len(done), seconds)}{f', shown in {shown}' if shown else ''}.")
    for note in list_notes(done, files):
        say(note)


@entry_point
def main(argv: list[str] | None = None) -> int:
    args = parse_arguments(argv)
    run = RunOptions(args.runtime, args.device, args.precision)
    if word_query.is_asked(args):
        return word_query.run(args, ModelOptions(args.pretrained, run))
    photos = photos_of(args.images)
    if not photos:
        raise SuiteError("Invalid Arguments", "there is no picture to name", ", ".join(map(str, args.images)),
                         f"Name a folder with {READABLE} files.")
    files = AnswerFiles(args.html, args.annotate, args.csv, args.format, args.include == LIKELY,
                        args.cache or cache_beside(args.index_dir))
    files.check([photo.path for photo in photos])
    say(f"Opening the index in {args.index_dir}.")
    options = ModelOptions(args.pretrained, run, len(photos))
    with ThreadPoolExecutor(1) as beside:  # the first photo is looked at meanwhile
        opening = beside.submit(open_both, args.index_dir, args.exact, options)
        looks = query.started(query.looks_at(photos)) if args.find == "auto" else iter(())
        index, model = opening.result()
    say(f"Pictures to match: {len(photos):,}, against {len(index.metadata):,} faces with {model.spec.model} on "
        f"{model.runtime}.")
    question = Question(index, model, args.k or 1, args.ef_search)
    reader = CardReader(index) if args.read == AUTO else None
    answered = query.named(looks, question, reader, files.need_photos) if args.find == "auto" \
        else query.matched(photos, question, files.need_photos)
    progress = Progress("Naming", len(photos), shown=len(photos) > 1 and not sys.stdout.isatty())
    started, done = time.monotonic(), list[Answer]()
    for answer in write_files(answered, files, f"{len(index.metadata):,} faces, {model.spec.model}"):
        print_answer(answer, args, len(photos) > 1)
        done.append(answer)
        progress.update()
    progress.close()
    report(done, args, files, time.monotonic() - started)
    return EXIT_OK if any(answer.matches for answer in done) else EXIT_NOTHING


if __name__ == "__main__":
    sys.exit(main())
