"""Measure the suite beside its theoretical limits and beside the generic tools, in one run.

    python benchmarks/bench.py --quick

Figures are ratios: ours divided by the reference. Machines differ and are shared, so only measurements of one run
compare. It takes about half an hour. The first run installs img2dataset, clip-retrieval, hnswlib and usearch into
bench_out/peers (3 GB). --quick takes about two minutes and skips these tools. The exit code is 4 if a target is missed.
Reads   nothing: pictures, bulk files and vectors are generated (the comparisons are in benchmarks/compare_*.py)
Writes  a table to stdout, and bench_out/bench.json (bench-quick.json, bench-NAME.json)
"""
from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import peers
from benchmarks.compare_browser import browser
from benchmarks.compare_builds import clip_retrieval, model, queries, rebuilds
from benchmarks.compare_downloads import downloads, overlap, planning, validation
from benchmarks.compare_indexes import hnsw_table, indexes
from benchmarks.compare_queries import answers
from benchmarks.comparison import FULL, QUICK, Bench, Figure
from mtg_image_db.arguments import ArgumentParser
from mtg_image_db.artefacts import write_json
from mtg_image_db.console import EXIT_FAILURES, EXIT_OK, SuiteError, entry_point, say, utc_now

COMPARISONS = (downloads, overlap, planning, validation, model, clip_retrieval, queries, answers, rebuilds, indexes,
               browser)
NAMES = [comparison.__name__ for comparison in COMPARISONS]
WITH_PEERS = (downloads, clip_retrieval, indexes)


def machine() -> str:
    """The processor's name, its cores, its matrix instructions, and the version of PyTorch."""
    import torch

    name = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        found = [line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                 if line.startswith("model name")]
        name = found[0] if found else name
    units = [unit for unit in ("avx512_bf16", "amx_bf16") if torch.cpu.get_capabilities().get(unit)]
    return f"{name}, {os.cpu_count()} cores{', ' + ' and '.join(units) if units else ''}, PyTorch {torch.__version__}"


def table_row(figure: Figure) -> str:
    verdict = "; ".join(filter(None, (figure.target, "missed" if figure.met is False else "", figure.note)))
    return f"| {figure.figure} | {figure.ours} | {figure.reference} | {figure.ratio:.3g} | {verdict} |"


def bench(out: Path, quick: bool, only: str) -> list[Figure]:
    """Run the comparisons whose name contains `only`. Prints a row for each figure."""
    chosen = [comparison for comparison in COMPARISONS if only in comparison.__name__]
    wanted = not quick and any(comparison in WITH_PEERS for comparison in chosen)
    python = peers.install(out / "peers") if wanted else None
    if python is None:
        say("The other tools are skipped.")
    figures = []
    with tempfile.TemporaryDirectory(prefix="run-", dir=out) as folder:
        context = Bench(Path(folder), QUICK if quick else FULL, python)
        print("| figure | ours | reference | ratio | target |\n|---|---|---|---|---|", flush=True)
        for comparison in chosen:
            for figure in comparison(context):
                figures.append(figure)
                print(table_row(figure), flush=True)
    return figures


@entry_point
def main(argv: list[str] | None = None) -> int:
    parser = ArgumentParser(__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, without the other tools: about two minutes")
    parser.add_argument("--only", default="", metavar="NAME",
                        help=f"run only comparisons whose name contains this: {', '.join(NAMES)}")
    parser.add_argument("--hnsw", action="store_true",
                        help="measure only HNSW parameters over 54,000 vectors: about five minutes")
    args = parser.parse(argv)
    if args.hnsw:
        for line in hnsw_table(FULL.vectors):
            print(line, flush=True)
        return EXIT_OK
    out = Path("bench_out").resolve()
    out.mkdir(exist_ok=True)
    for leftover in out.glob("run-*"):
        shutil.rmtree(leftover)
    started, measured_on = time.monotonic(), machine()
    say(f"On {measured_on}.")
    figures = bench(out, args.quick, args.only)
    if not figures:
        raise SuiteError("Invalid Arguments", "no comparison that can run has this name", f"--only {args.only}",
                         "python benchmarks/bench.py --help lists them.")
    path = out / ("-".join(filter(None, ("bench", "quick" * args.quick, args.only))) + ".json")
    write_json(path, {"timestamp": utc_now(), "machine": measured_on, "quick": args.quick,
                                    "figures": [{**asdict(figure), "met": figure.met} for figure in figures]})
    verdicts = [figure.met for figure in figures if figure.met is not None]
    say(f"{sum(verdicts)} of {len(verdicts)} targets met in {time.monotonic() - started:.0f} s: {path}.")
    return EXIT_OK if all(verdicts) else EXIT_FAILURES


if __name__ == "__main__":
    sys.exit(main())
