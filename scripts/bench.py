"""Measure the suite side by side with what bounds it, and with the generic tools, in one run.

    python scripts/bench.py --quick

Figures are ratios: machines differ and are shared, so only what ran side by side compares. --quick takes less
than two minutes and leaves the other tools out; without it they are installed into bench_out/peers.
Reads   nothing: pictures, bulk files and vectors are made up (scripts/figures.py holds the comparisons)
Writes  a table to stdout, and bench_out/bench.json
"""
from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "scripts"))

import peers  # noqa: E402
from figures import FULL, QUERIES, QUICK, Bench, Figure, clustered_vectors, comparisons  # noqa: E402

import search_index  # noqa: E402
from cli import ArgumentParser, script  # noqa: E402
from common import EXIT_FAILURES, EXIT_OK, SuiteError, say, utc_now, write_json  # noqa: E402

PARAMETERS = ((16, 100), (32, 200), (64, 400))  # M, efConstruction
EF_SEARCH = (16, 64, 128)


def machine() -> str:
    """The processor by its name, its cores, and what its instructions offer the model."""
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
    """Run the comparisons whose name holds `only`, printing a row for each figure."""
    python = None if quick else peers.install(out / "peers")
    if python is None:
        say("img2dataset, clip-retrieval, hnswlib and usearch are left out.")
    figures = []
    with tempfile.TemporaryDirectory(prefix="run-", dir=out) as folder:
        context = Bench(Path(folder), QUICK if quick else FULL, python)
        print("| figure | ours | reference | ratio | target |\n|---|---|---|---|---|", flush=True)
        for comparison in comparisons():
            if only in comparison.__name__:
                for figure in comparison(context):
                    figures.append(figure)
                    print(table_row(figure), flush=True)
    return figures


def hnsw_table(rows: int) -> Iterator[str]:
    """A line of the table for each pair of build parameters; recall@10 is against exact search."""
    vectors = clustered_vectors(rows + QUERIES)
    vectors, queries = vectors[:rows], vectors[rows:]
    _, true = search_index.search_exact(vectors, queries, search_index.NEIGHBOURS)
    for m, ef_construction in PARAMETERS:
        started = time.monotonic()
        index = search_index.build_hnsw(vectors, np.arange(rows), m, ef_construction, search_index.EF_SEARCH)
        seconds = time.monotonic() - started
        with tempfile.TemporaryDirectory() as folder:
            search_index.save(index, Path(folder) / "index")
            megabytes = (Path(folder) / "index").stat().st_size / 1e6
        cells = []
        for ef_search in EF_SEARCH:
            started = time.monotonic()
            _, found = search_index.search(index, queries, search_index.NEIGHBOURS, ef_search)
            milliseconds = 1000 * (time.monotonic() - started) / QUERIES
            hits = [len(np.intersect1d(mine, exact)) for mine, exact in zip(found, true, strict=True)]
            cells.append(f"{np.mean(hits) / search_index.NEIGHBOURS:.3f} ({milliseconds:.2f} ms)")
        yield f"| {m} | {ef_construction} | {seconds:.0f} s | {megabytes:.0f} MB | {' | '.join(cells)} |"


@script
def main(argv: list[str] | None = None) -> int:
    parser = ArgumentParser(__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, without the other tools: two minutes")
    parser.add_argument("--only", default="", metavar="NAME",
                        help=f"comparisons whose name holds this: {', '.join(c.__name__ for c in comparisons())}")
    parser.add_argument("--hnsw", action="store_true", help="only the table of HNSW parameters over 54,000 vectors")
    args = parser.parse(argv)
    if args.hnsw:
        print("| M | efConstruction | build | index | "
              + " | ".join(f"recall@10 at efSearch {ef}" for ef in EF_SEARCH) + " |")
        print("|" + "---|" * (4 + len(EF_SEARCH)))
        for line in hnsw_table(FULL.vectors):
            print(line, flush=True)
        return EXIT_OK
    out = Path("bench_out").resolve()
    out.mkdir(exist_ok=True)
    for leftover in out.glob("run-*"):
        shutil.rmtree(leftover)
    started, about = time.monotonic(), machine()
    say(f"On {about}.")
    figures = bench(out, args.quick, args.only)
    if not figures:
        raise SuiteError("Invalid Arguments", "no comparison has this name", f"--only {args.only}",
                         "python scripts/bench.py --help lists them.")
    write_json(out / "bench.json", {"timestamp": utc_now(), "machine": about, "quick": args.quick,
                                    "figures": [{**asdict(figure), "met": figure.met} for figure in figures]})
    missed = [figure for figure in figures if figure.met is False]
    say(f"{len(figures) - len(missed)} of {len(figures)} targets met in {time.monotonic() - started:.0f} s: "
        f"{out / 'bench.json'}.")
    return EXIT_FAILURES if missed else EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
