"""The README's section "What can go wrong": what the tests show, in words.

    python tests/what_can_go_wrong.py

Every row is shown by the tests marked @pytest.mark.fault(key); tests/test_setup.py holds the README to this table
and the table to the tests.
Reads and writes  README.md
"""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

README = Path(__file__).resolve().parents[1] / "README.md"
HEADING = "## What can go wrong"
INTRODUCTION = """\
Each row is shown by tests, most of which break the thing for real: a mirror that misbehaves on demand, a disk
that is full, `kill -9` at seeded moments. In every case the files that other programs read stay whole."""


@dataclass(frozen=True)
class Row:
    """One fault: key is what tests are marked with."""
    key: str
    fault: str
    happens: str
    do: str


SAME = "run the same command again"
ROWS = (
    Row("server-error", "HTTP 500, 502, 503, 504",
        "tried again after 1, 2, 4, 8, 16 s (at most 60 s, or what `Retry-After` asks), then a line in "
        "`download_failures.jsonl` with cause and attempts", SAME),
    Row("broken-exchange", "connection refused or reset, host not found, body cut short or stalled",
        "as above; nothing unfinished gets a name in the cache", SAME),
    Row("outage", "the network is gone", "said after 16 pictures in a row are lost; after 300 the run stops",
        "reconnect, " + SAME),
    Row("api-limit", "429 from the API",
        "silence of all workers for 30 s or `Retry-After`, whichever is longer, doubled each further time; said once",
        "nothing; if it comes back, use fewer `--workers`"),
    Row("image-limit", "429 from the image host", "all workers pause for `Retry-After`, then half as many ask at once "
        "until it stays quiet", "nothing"),
    Row("missing", "404, 410, any other 4xx",
        "not tried again in this run; counted as `missing`, apart from network failures",
        "nothing; a later bulk file has another address"),
    Row("no-picture", "a web page, an empty or truncated body, wrong bytes",
        "never cached; asked for three times at most, then `invalid`; the build rejects such a file in the cache",
        "`validate_cache.py --fix`, then download again"),
    Row("other-format", "a WEBP under a `.jpg` name", "accepted: the bytes decide", "nothing"),
    Row("slow-or-large", "a body that drips or never ends",
        "dropped after four read timeouts (120 s) or 64 MB: `too slow`, `too large`; the rest goes on", SAME),
    Row("bomb", "a picture of more than 100 million pixels",
        "refused before it is decoded, by every script", "nothing"),
    Row("odd-pictures", "1x1, CMYK, palette, 16-bit, transparent, animated, EXIF-rotated pictures; a directory",
        "read like any other, or a reason in words", "nothing"),
    Row("address", "a redirect without end or to another host or scheme, an address that is none or not Scryfall's",
        "refused, and never asked for", "nothing"),
    Row("bulk-damaged", "a bulk file truncated or damaged on the way or on disk",
        "the download fetches it again, at most twice; the old one stays until a whole one is there; the build names "
        "the file", "run the download again"),
    Row("bulk-lines", "a broken or endless line, an object that is no card, control characters in names",
        "skipped, counted and reported; nothing reaches the terminal or a file name raw", "nothing"),
    Row("nothing", "no face with a picture, no valid picture", "an error before any index is written, exit code 2",
        "what the error suggests"),
    Row("disk-full", "the disk is full", "stops at once, names the file, the space needed and what is free; old files "
        "stay", "free some space, " + SAME),
    Row("interrupt", "Ctrl-C or SIGTERM", "pictures in flight finish or are dropped within 5 s; checkpoint and summary "
        "are written, exit code 130; a second one ends at once", SAME),
    Row("killed", "`kill -9`", "no torn file has a final name, leftovers are removed by the next run, at "
        "most one checkpoint interval is embedded again", SAME),
    Row("two-at-once", "two downloads, or two builds, in the same folders",
        "the second download takes pictures that the first has not come to (a few come twice); the second build is "
        "refused, by a lock that ends with its process",
        "wait, or use another `--out`"),
    Row("damaged-artefact", "an artefact or the manifest damaged, or of another build",
        "every reader checks size and checksum and refuses; the build reuses what is whole", "build again"),
    Row("damaged-checkpoint", "a checkpoint damaged, or of another model",
        "used as far as its checksums hold, or not at all", "nothing"),
    Row("weights", "weights missing, truncated, of another architecture, with pickled code",
        "a configuration error; no pickled code is ever run", "give the whole file with `--pretrained`"),
    Row("out-of-memory", "the device has too little memory", "the batch is halved and the run goes on, saying so",
        "nothing"),
    Row("many-faces", "500,000 faces", "the download stays under 300 MB, the build under 1.5 GB above the model",
        "nothing"),
)


def section() -> str:
    lines = [HEADING, "", INTRODUCTION, "", "| fault | what happens | what you do |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {row.fault} | {row.happens} | {row.do} |" for row in ROWS)]) + "\n"


def main() -> None:
    before, _, rest = README.read_text(encoding="utf-8").partition(HEADING)
    README.write_text(before + section() + rest[rest.index("\n## "):], encoding="utf-8")


if __name__ == "__main__":
    main()
