"""The generic tools that bench.py compares with. They are installed when needed, and run as their users run them.

Reads   the files that bench.py prepared
Writes  a separate environment, and the tools' output
"""
from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

from benchmarks.workbench import Run, run_command
from mtg_image_db.console import SuiteError, say
from mtg_image_db.index.hnsw import HnswParameters

# setuptools: clip-retrieval's CLIP package imports pkg_resources. torch comes first: a CPU build of it is enough.
REQUIREMENTS = (("torch==2.13.0",), ("img2dataset==1.47.0", "clip-retrieval==2.45.0", "hnswlib==0.8.0",
                                     "usearch==2.26.6", "torch==2.13.0"), ("setuptools==69.5.1",))
# As in open_clip_models.import_open_clip: with a CPU build of torch, torchvision's CUDA wheel lacks two schemas.
CLIP_RETRIEVAL = """
import torch
lib = torch.library.Library("torchvision", "DEF")
lib.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
lib.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
from clip_retrieval.cli import main
if __name__ == "__main__":
    main()
"""
INDEX_LIBRARIES = """
import json, os, sys, time
import numpy as np
library, folder, m, ef_construction, efforts = sys.argv[1], sys.argv[2], *map(json.loads, sys.argv[3:])
vectors, queries, true = (np.load(f"{folder}/{name}.npy") for name in ("vectors", "queries", "true"))
started = time.monotonic()
if library == "hnswlib":
    import hnswlib
    index = hnswlib.Index("ip", vectors.shape[1])
    index.init_index(len(vectors), ef_construction=ef_construction, M=m)
    index.add_items(vectors, num_threads=os.cpu_count())
else:
    from usearch.index import Index
    index = Index(ndim=vectors.shape[1], metric="ip", dtype="f32", connectivity=m, expansion_add=ef_construction)
    index.add(np.arange(len(vectors)), vectors, threads=os.cpu_count())
result = {"build": time.monotonic() - started, "search": []}
for effort in efforts:
    started = time.monotonic()
    if library == "hnswlib":
        index.set_ef(effort)
        found, _ = index.knn_query(queries, true.shape[1], num_threads=os.cpu_count())
    else:
        index.expansion_search = effort
        found = index.search(queries, true.shape[1], threads=os.cpu_count()).keys
    seconds = time.monotonic() - started
    recall = np.mean([len(np.intersect1d(a, b)) for a, b in zip(found, true)]) / true.shape[1]
    result["search"].append([effort, float(recall), seconds])
print(json.dumps(result))
"""


def install(folder: Path) -> Path:
    """The interpreter of the peers' environment. It is installed if it is missing. Raises SuiteError."""
    python = folder / "bin" / "python"
    if not (folder / "installed").exists():
        say(f"Installing img2dataset, clip-retrieval, hnswlib and usearch into {folder} (some minutes, 3 GB).")
        try:
            venv.create(folder, with_pip=True, clear=True)
            for packages in REQUIREMENTS:
                subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages],
                               stdout=sys.stderr, check=True)
        except (subprocess.CalledProcessError, OSError) as error:
            raise SuiteError("Network Error", "the other tools could not be installed", error,
                             "Check the connection, or run python benchmarks/bench.py --quick.") from error
        (folder / "installed").touch()
    return python


def img2dataset(python: Path, folder: Path, urls: list[str], threads: int) -> Run:
    """Download urls without resizing or encoding again. This is the least work that img2dataset can do."""
    (folder / "urls.txt").write_text("\n".join(urls) + "\n")
    return run_command(folder, [
        python.with_name("img2dataset"), "--url_list", "urls.txt", "--output_folder", f"img2dataset{threads}",
        "--thread_count", threads, "--processes_count", 1, "--resize_mode", "no", "--skip_reencode", True,
        "--output_format", "files", "--enable_wandb", False], folder / f"img2dataset{threads}.log")


def clip_retrieval(python: Path, folder: Path, pictures: Path, model: str, weights: Path) -> Run:
    """Embed a folder of pictures on the CPU with an open_clip architecture and a weights file."""
    (folder / "run_clip_retrieval.py").write_text(CLIP_RETRIEVAL)
    return run_command(folder, [
        python, "run_clip_retrieval.py", "inference", "--input_dataset", pictures, "--output_folder", "clip_retrieval",
        "--clip_model", f"open_clip:{model}/{weights}", "--enable_text", False, "--enable_metadata", False,
        "--enable_wandb", False, "--use_jit", False, "--num_prepro_workers", os.cpu_count(), "--batch_size", 64],
        folder / "clip_retrieval.log")


def vector_index(python: Path, folder: Path, library: str, parameters: HnswParameters,
                 efforts: list[int]) -> dict[str, Any]:
    """Index folder/vectors.npy, search queries.npy. Returns {build: seconds, search: [[effort, recall, seconds]]}."""
    done = subprocess.run([python, "-c", INDEX_LIBRARIES, library, folder, *map(json.dumps, (
        parameters.m, parameters.ef_construction, efforts))], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SuiteError("Build Error", f"{library} ended with {done.returncode}", folder, "Its output is above.")
    return json.loads(done.stdout)
