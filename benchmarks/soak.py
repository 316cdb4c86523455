"""Run the real scripts on many pictures over a bad network. Measure losses, time and memory.

    python benchmarks/soak.py --pictures 20000

Generates pictures and serves them by scryfall_mirror.py, with faults in a share of the replies. Then downloads, builds
with efficientnet-lite0, and downloads and builds again. The exit code is 1 if 1% or more was lost to the network.
Reads   nothing
Writes  a table to stdout, and soak_out/, which is deleted before and after
"""
from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.workbench import Run, run, start_mirror, write_pictures
from mtg_image_db.arguments import ArgumentParser, number
from mtg_image_db.console import EXIT_ERROR, EXIT_OK, entry_point, percent, say
from mtg_image_db.embedding.models import OFFLINE_MODEL

LATENCY_MS, TIMEOUT_READ = 20, 5
# Each kind of fault, and its share of all faults. Probabilities are per request, by path and attempt.
FAULTS = (({"kind": "status", "status": 503}, 0.3), ({"kind": "reset"}, 0.2), ({"kind": "short"}, 0.2),
          ({"kind": "html"}, 0.1), ({"kind": "truncated"}, 0.1), ({"kind": "empty"}, 0.05),
          ({"kind": "stall", "seconds": TIMEOUT_READ + 2}, 0.04),
          ({"kind": "status", "status": 429, "retry_after": "2"}, 0.01))
LOST_SHARE = 0.01


def table_row(stage: str, done: Run, manifest: Path) -> str:
    statistics = json.loads(manifest.read_text())["statistics"]
    memory = "N/A" if done.megabytes is None else f"{done.megabytes:.0f} MB"
    if "to_fetch" in statistics:
        kinds = ", ".join(f"{count} {kind}" for kind, count in statistics["failed_by_kind"].items())
        what = (f"{statistics['downloaded']:,} of {statistics['to_fetch']:,} | {kinds or 'none'} | "
                f"{statistics['retries']:,} retries, {statistics['rate_limit_pauses']} pauses")
    else:
        what = (f"{statistics['new_embeddings']:,} embedded, {statistics['reused_embeddings']:,} reused | "
                f"{statistics['validation_failures']} invalid, {statistics['missing_from_cache']} missing | ")
    return f"| {stage} | {done.seconds:.1f} s | {memory} | {what} |"


def soak(out: Path, pictures: int, faults: float) -> float:
    """Print the table's rows. Returns the share of pictures that the first download lost to the network."""
    write_pictures(out / "mirror", pictures, "small")
    mirror, address = start_mirror(out / "mirror", LATENCY_MS, [
        {"match": "/small/", "probability": share * faults, **fault} for fault, share in FAULTS])
    download = ("download_images.py", "--api-url", address, "--image-size", "small", "--timeout-read",
                str(TIMEOUT_READ))
    build = ("build_embeddings.py", "--image-size", "small", "--model", OFFLINE_MODEL)
    manifests = out / "index_out" / "download_manifest.json", out / "index_out" / "build_manifest.json"
    lost = 0.0
    print("| stage | time | peak memory | done | failed | network |\n|---|---|---|---|---|---|")
    try:
        for turn in ("first", "second"):
            done = run(out, *download)
            print(table_row(f"{turn} download", done, manifests[0]), flush=True)
            if turn == "first":
                kinds = json.loads(manifests[0].read_text())["statistics"]["failed_by_kind"]
                lost = kinds.get("network", 0) / pictures
            print(table_row(f"{turn} build", run(out, *build), manifests[1]), flush=True)
    finally:
        mirror.kill()
        mirror.wait()
    return lost


@entry_point
def main(argv: list[str] | None = None) -> int:
    parser = ArgumentParser(__doc__)
    parser.add_argument("--pictures", type=number(int, 100), default=20_000, metavar="N",
                        help="how many pictures (default: 20000)")
    parser.add_argument("--faults", type=number(float, 0, 0.5), default=0.05, metavar="P",
                        help="share of replies that go wrong (default: 0.05)")
    args = parser.parse(argv)
    out = Path("soak_out").resolve()
    shutil.rmtree(out, ignore_errors=True)
    say(f"{args.pictures:,} pictures through a mirror that spoils {args.faults:.0%} of its replies.")
    try:
        lost = soak(out, args.pictures, args.faults)
    finally:
        shutil.rmtree(out, ignore_errors=True)
    say(f"Lost to the network in the first download: {percent(lost, 1)} (below {percent(LOST_SHARE, 1)} is good).")
    return EXIT_ERROR if lost >= LOST_SHARE else EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
