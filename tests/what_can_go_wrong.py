"""The table of docs/faults.md: what can go wrong, what happens then, and what the user does.

    python tests/what_can_go_wrong.py

Each row is proved by the tests that are marked @pytest.mark.fault(key). tests/test_docs.py compares this table with
the page and with the marks.
Reads and writes  docs/faults.md
"""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "faults.md"
HEADING = "## Faults"
INTRODUCTION = """\
Tests prove each row. Most of them cause the fault for real: with a mirror that misbehaves on demand, with a full disk,
with `kill -9` at seeded moments. In every case, the files that other programs read stay complete."""
AGAIN = "Run the same command again."
NOTHING = "Nothing."


@dataclass(frozen=True)
class Row:
    """One fault. Its tests are marked with key."""
    key: str
    fault: str
    what_happens: str
    what_to_do: str


ROWS = (
    Row("server-error",
        "HTTP 500, 502, 503 or 504",
        "The run tries again after 1, 2, 4, 8 and 16 s. It never waits more than 60 s, unless `Retry-After` says "
        "so. Then the picture becomes a line in `download_failures.jsonl`, with cause and number of attempts.",
        AGAIN),
    Row("broken-exchange",
        "The connection is refused or reset, the host is not found, the body is cut short or stalls",
        "As above. Nothing unfinished gets a name in the cache.",
        AGAIN),
    Row("outage",
        "The network is gone",
        "After 16 lost pictures in a row the run says so. After 300 it stops.",
        "Reconnect, then run the same command again."),
    Row("proxy",
        "A proxy or a certificate file of the environment cannot be used (`https_proxy`, `SSL_CERT_FILE`, "
        "`REQUESTS_CA_BUNDLE`)",
        "The script ends before any work, and names the variable. A proxy that fails later is named with the picture. "
        "Users and passwords in URLs are never written anywhere.",
        "Correct the variable, or unset it."),
    Row("api-limit",
        "429 from the API",
        "All workers pause for 30 s, or for `Retry-After` if that is longer. Each further 429 doubles the 30 s. The "
        "run says so once.",
        "Nothing. If it happens again and again, use fewer `--workers`."),
    Row("image-limit",
        "429 from the image host",
        "All workers pause for `Retry-After`. Then at most half as many send requests at the same time. The number "
        "rises again while the host stays quiet.",
        NOTHING),
    Row("missing",
        "404, 410 or any other 4xx",
        "The picture is not requested again in this run. It is counted as `missing`, apart from network failures.",
        "Nothing. A later bulk file has another address."),
    Row("no-picture",
        "The reply is a web page, is empty, is cut short or has wrong bytes",
        "It never gets into the cache. It is requested up to two more times, then it counts as `invalid`. If such a "
        "file is in the cache, the build rejects it.",
        "Run `validate_cache.py --fix`, then download again."),
    Row("other-format",
        "A WEBP file has the name `.jpg`",
        "It is accepted. The bytes decide, not the name.",
        NOTHING),
    Row("slow-or-large",
        "A body arrives very slowly or never ends",
        "It is dropped after four read timeouts (120 s), or at 64 MB. A slow one is requested once more. It counts as "
        "`too slow` or `too large`. The other pictures go on.",
        AGAIN),
    Row("bomb",
        "A picture has more than 100 million pixels",
        "Every script refuses it before decoding it.",
        NOTHING),
    Row("odd-pictures",
        "A picture is 1x1, CMYK, palette, 16-bit, transparent, animated or rotated by EXIF; or a directory has the "
        "name of a picture",
        "It is read like any other picture, or refused with a reason in words.",
        NOTHING),
    Row("address",
        "A redirect does not end or leads to another host or scheme; an address is not valid or not one of "
        "Scryfall's",
        "It is refused, and no request is sent there.",
        NOTHING),
    Row("packed",
        "A server or a proxy packs its replies (Content-Encoding), although nobody asked for that",
        "gzip and deflate are unpacked, within the limits of size. Another packing is named.",
        NOTHING),
    Row("clock",
        "A clock is wrong: this machine's, or the server's",
        "A time in the future counts as unknown: the snapshot is checked again. A date in `Retry-After` is read by the "
        "server's clock.",
        NOTHING),
    Row("copied",
        "A cache or an index was copied without its times: `cp -r`, `docker COPY`, a stick, an archive",
        "Checksums decide what belongs together, never times. Unchanged pictures are not embedded again. The page gets "
        "an export of its own build.",
        NOTHING),
    Row("formats",
        "A picture is HEIC or AVIF, or has the wrong suffix; or it is no picture: SVG, PDF, a video, a web page",
        "HEIC and AVIF are read. The bytes decide, not the name. Any other file is named for what it is. The page "
        "reads what the browser reads, and says so of HEIC.",
        "Save it as JPEG or PNG."),
    Row("metadata",
        "The metadata of a PNG are damaged or very large (EXIF, a colour profile, text), or the EXIF of a JPEG or WEBP",
        "The picture is read without them.",
        NOTHING),
    Row("large-photo",
        "A photo has more than 16 megapixels",
        "It is decoded at half its size or less. 48 megapixels of JPEG need 0.55 GB "
        "with the model, of HEIC or AVIF 0.7 GB. The corners are in pixels of the file.",
        NOTHING),
    Row("mirrored",
        "The picture shows the card in a mirror, as many webcams do",
        "If no card is recognised, `query_index.py` reads the picture a second time, reversed. The answer says so. The "
        "page does it with photos, not with the pictures of its camera.",
        NOTHING),
    Row("any-name",
        "A file name has bytes that are no UTF-8",
        "It works like any other. Where it is shown, these bytes are escaped.",
        NOTHING),
    Row("bulk-damaged",
        "The bulk file is cut short or damaged, on the way or on disk",
        "The download fetches it again, up to two more times. The old file stays until a complete one has arrived. "
        "The build names the damaged file.",
        "Run the download again."),
    Row("bulk-lines",
        "The bulk file has a broken or endless line, an object that is no card, or names with control characters",
        "The line is skipped, counted and reported. Control characters never reach the terminal or a file name.",
        NOTHING),
    Row("outputs",
        "An output file is a link, a device or a pipe, or lies in a folder that does not exist",
        "A link stays, and its target is replaced. Mode and owner of an old file stay. Devices and pipes are written "
        "to. A folder that does not exist is named before the work.",
        NOTHING),
    Row("read-only",
        "A folder cannot be written",
        "What only reads goes on: `--dry-run`, `validate_cache.py`, `query_index.py`. `serve.py` exports into a "
        "temporary folder. The other scripts say so before the work.",
        "Name another folder with `--cache` or `--out`."),
    Row("no-locks",
        "The file system cannot lock files: NFS without its lock service, some network shares",
        "The script says so once and goes on.",
        "Let no other run write there at the same time. `--no-lock` omits the line."),
    Row("no-sync",
        "The file system cannot sync a file or a folder to the disk",
        "The work goes on. Only a power cut could lose its last files.",
        NOTHING),
    Row("open-files",
        "The process may open few files (`ulimit -n`)",
        "The limit is raised as far as the system allows. If that is not enough, the run uses fewer workers and says "
        "so.",
        NOTHING),
    Row("browser",
        "A browser lacks WebAssembly or is old; a server sends the programs as another type; the start does not end",
        "The page names what is missing, and what still works goes on. After 20 seconds without anything new, it says "
        "so.",
        "Use another browser, or `serve.py`."),
    Row("other-files",
        "Files in the cache that no download wrote: your photos, files of another tool",
        "`validate_cache.py` names them and never deletes them. The build does not read them.",
        NOTHING),
    Row("streams",
        "Nobody reads stderr any more, or stdout or stderr is closed or no text file (cron, a service, a notebook)",
        "The work goes on to its end, and the exit code says how it went. Only the lines are lost.",
        NOTHING),
    Row("nothing",
        "No face has a picture, or no picture is valid",
        "The script ends with an error and exit code 2, before it writes an index.",
        "Do what the error suggests."),
    Row("disk-full",
        "The disk is full",
        "The script stops at once. It names the file, the space that it needs and the space that is free. Old files "
        "stay.",
        "Free some space, then run the same command again."),
    Row("interrupt",
        "Ctrl-C or SIGTERM",
        "Pictures on their way are finished or dropped within 5 s. The checkpoint and the summary are written. The "
        "exit code is 130. A second signal ends the script at once.",
        AGAIN),
    Row("killed",
        "`kill -9`",
        "No incomplete file has a final name. The next run removes what was left behind. At most one checkpoint "
        "interval is embedded again.",
        AGAIN),
    Row("two-at-once",
        "Two downloads or two builds run in the same folders",
        "The second download takes pictures that the first has not reached yet; a few are fetched twice. The second "
        "build is refused, until the process of the first has ended.",
        "Wait, or use another `--out`."),
    Row("damaged-artefact",
        "A file of the index or the manifest is damaged, or belongs to another build",
        "Every reader checks size and checksum, and refuses the file. The next build reuses the files that are "
        "intact.",
        "Build again."),
    Row("damaged-checkpoint",
        "A checkpoint is damaged, or belongs to another model",
        "The build uses the part whose checksums are right, or nothing of it.",
        NOTHING),
    Row("weights",
        "The weights are missing, cut short, of another architecture, or contain pickled code",
        "The script ends with a configuration error. Pickled code is never run.",
        "Give the complete file with `--pretrained`."),
    Row("out-of-memory",
        "The device has too little memory",
        "The batch is halved, the run says so and goes on.",
        NOTHING),
    Row("many-faces",
        "500,000 faces",
        "The download needs less than 300 MB of memory. The build needs less than 1.5 GB in addition to the model.",
        NOTHING),
)


def section() -> str:
    """The heading, the introduction and the table, as they stand in the page."""
    lines = [HEADING, "", INTRODUCTION, "", "| fault | what happens | what you do |", "|---|---|---|"]
    lines += [f"| {row.fault} | {row.what_happens} | {row.what_to_do} |" for row in ROWS]
    return "\n".join(lines) + "\n"


def main() -> None:
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(HEADING)
    PAGE.write_text(before + section() + rest[rest.index("\n## "):], encoding="utf-8")


if __name__ == "__main__":
    main()
