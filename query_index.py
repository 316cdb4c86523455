"""Name the cards in a picture: find them, embed them with the index's model, and print the nearest faces.

    python query_index.py photo.jpg --k 5 --html matches.html

Reads   the picture, and build_manifest.json, mtg_cards.faiss, mtg_meta.jsonl and mtg_pictures.npy
        (mtg_embeddings.npy for --exact) in <index-dir>
Writes  matches to stdout; with --html one self-contained page, with --annotate the picture with the cards outlined
"""
from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from mtg_image_db.arguments import OUT, ArgumentParser, cache_beside, existing_file, number, one_of, output_file
from mtg_image_db.console import EXIT_NOTHING, EXIT_OK, Progress, SuiteError, entry_point, per_second, printable, say
from mtg_image_db.embedding.embedder import DEVICES, PRECISIONS
from mtg_image_db.index.hnsw import MAX_EF
from mtg_image_db.index.reader import ModelOptions, open_both
from mtg_image_db.picture_formats import READABLE
from mtg_image_db.recognition import annotate
from mtg_image_db.recognition.answer_files import AnswerFiles, write_files
from mtg_image_db.recognition.query import Answer, Question, answers, json_line, text_lines

FEW_PICTURES = 16


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = ArgumentParser(__doc__, " IMAGE [IMAGE ...]")
    parser.add_argument("images", nargs="*", type=existing_file, metavar="IMAGE", help="pictures to name")
    parser.add_argument("--index-dir", type=Path, default=OUT, metavar="DIR",
                        help="where the build wrote (default: index_out)")
    parser.add_argument("--find", type=one_of("auto", "off"), default="auto", metavar="HOW",
                        help="auto: find the cards in the picture; off: the picture is the card (default: auto)")
    parser.add_argument("--k", type=number(int, 1), default=1, metavar="K",
                        help="matches printed of each card, at least 1 (default: 1)")
    output = parser.group("output")
    output.add_argument("--json", action="store_true", help="print one JSON object for each picture, one per line")
    output.add_argument("--html", type=output_file, metavar="FILE", help="write a page of queries and matches")
    output.add_argument("--annotate", type=output_file, metavar="FILE",
                        help="write the picture with the cards outlined and named: .jpg, .png or .webp")
    output.add_argument("--cache", type=Path, metavar="DIR",
                        help="reference pictures for --html. Missing ones are linked (default: image_cache beside the "
                             "index)")
    search = parser.group("index")
    search.add_argument("--ef-search", type=number(int, 1, MAX_EF), metavar="N",
                        help="effort of the search (default: what the index stores)")
    search.add_argument("--exact", action="store_true", help="compare with every vector, without the graph")
    model = parser.group("model")
    model.add_argument("--pretrained", metavar="TAG|FILE", help="the index's weights, if they have moved")
    model.add_argument("--device", type=one_of(*DEVICES), default="auto", metavar="DEVICE",
                       help="auto, cpu, cuda or mps (default: auto)")
    model.add_argument("--precision", type=one_of(*PRECISIONS), default="auto", metavar="P",
                       help="auto, fp32, bf16 or fp16 (default: auto)")
    return parser.parse(argv, check_arguments)


def check_arguments(args: argparse.Namespace) -> Iterator[str]:
    """Yield a sentence for each invalid combination of arguments."""
    if args.images == []:
        yield "IMAGE: name at least one picture"
    if args.annotate and len(args.images or ()) > 1:
        yield f"--annotate {args.annotate}: takes one IMAGE, not {len(args.images)}"
    if args.annotate and args.annotate.suffix.lower() not in annotate.FORMATS:
        yield f"--annotate {args.annotate}: must end in {', '.join(annotate.FORMATS)}"
    if args.annotate and args.find == "off":
        yield "--annotate: outlines the cards that --find auto finds"


def print_answer(answer: Answer, as_json: bool, with_name: bool) -> None:
    lines = [json_line(answer)] if as_json else [printable(line) for line in text_lines(answer)]
    if lines and with_name and not as_json:
        lines.insert(0, printable(answer.path))
    if lines:
        print("\n".join(lines), flush=True)
    if answer.error:
        say(str(SuiteError("Validation Error", "a picture could not be read", f"{answer.path}: {answer.error}",
                           f"Give a complete {READABLE}.")))


def report(done: Sequence[Answer], args: argparse.Namespace, seconds: float) -> None:
    if args.find == "off":
        text = f"Matched {sum(bool(answer.matches) for answer in done):,} of {len(done):,}"
    else:
        pictures = sum(bool(answer.recognised) for answer in done)
        cards = sum(len(answer.recognised) for answer in done)
        text = f"Recognised {cards:,} card{'s' * (cards != 1)} in {pictures:,} of {len(done):,} pictures"
    written = [args.html, args.annotate if any(answer.cards for answer in done) else None]
    shown = " and ".join(str(path) for path in written if path)
    say(f"{text}{per_second(len(done), seconds)}{f', shown in {shown}' if shown else ''}.")


def precision_of(args: argparse.Namespace) -> str:
    """The precision to ask for. With few pictures, auto is fp32: converting the model would take longer."""
    few = args.find == "off" and len(args.images) < FEW_PICTURES
    return "fp32" if few and args.precision == "auto" else args.precision


@entry_point
def main(argv: list[str] | None = None) -> int:
    args = parse_arguments(argv)
    say(f"Opening the index in {args.index_dir}.")  # it takes seconds: mostly PyTorch
    index, model = open_both(args.index_dir, args.exact, ModelOptions(args.pretrained, args.device, precision_of(args)))
    say(f"Pictures to match: {len(args.images):,}, against {len(index.metadata):,} faces with {model.spec.model}.")
    cache = args.cache or cache_beside(args.index_dir)
    files = AnswerFiles(args.html, args.annotate, cache)
    question = Question(index, model, args.k, args.ef_search, args.find == "auto", files.need_photos)
    progress = Progress("Naming", len(args.images), shown=len(args.images) > 1 and not sys.stdout.isatty())
    started, done = time.monotonic(), list[Answer]()
    for answer in write_files(answers(args.images, question), files,
                              f"{len(index.metadata):,} faces, {model.spec.model}"):
        print_answer(answer, args.json, len(args.images) > 1)
        done.append(answer)
        progress.update()
    progress.close()
    report(done, args, time.monotonic() - started)
    return EXIT_OK if any(answer.matches for answer in done) else EXIT_NOTHING


if __name__ == "__main__":
    sys.exit(main())
