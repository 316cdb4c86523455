"""The WebAssembly kernels: their sources give their bytes, and those of a search give the right numbers."""
from __future__ import annotations

import re
import shutil
import subprocess

import numpy as np
import pytest
from conftest import ROOT

from mtg_image_db.index import hash_search

OPENS = "/alone"
WEB = ROOT / "web"
ASSEMBLER = WEB / "node_modules" / "wabt" / "bin" / "wat2wasm"
KERNELS = {"index/scores.wat": "index/scores.js", "index/hash_search.wat": "index/hash_search.js",
           "recognition/picture_hash.wat": "recognition/hash_kernel.js"}


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node.js on this machine")
@pytest.mark.skipif(not ASSEMBLER.exists(), reason="web/node_modules/wabt is not there: make web needs npm")
@pytest.mark.parametrize("source, program", KERNELS.items())
def test_the_source_assembles_to_the_bytes_in_the_program(tmp_path, source, program):
    assembled = tmp_path / "kernel.wasm"
    subprocess.run(["node", ASSEMBLER, WEB / source, "-o", assembled], check=True, timeout=60)
    listed = re.search(r"KERNEL = Uint8Array\.of\((.*?)\);", (WEB / program).read_text(), re.DOTALL)[1]
    kernel = bytes(int(byte, 16) for byte in re.findall(r"0x[0-9a-f]{2}", listed))
    data = assembled.read_bytes()
    lines = ["  " + " ".join(f"0x{byte:02x}," for byte in data[at:at + 16]) for at in range(0, len(data), 16)]
    assert kernel == data, f"KERNEL in {program} is to be:\n" + "\n".join(lines)


def test_rows_of_any_length_are_scored(tab):
    random = np.random.default_rng(0)
    for dimension in (1, 7, 8, 9, 100, 512):
        rows = random.integers(-128, 128, (20, dimension), np.int8)
        query = random.standard_normal(dimension).astype(np.float32)
        query /= np.linalg.norm(query)
        found = tab.page.evaluate("""async ([rows, dimension, query]) => {
            const { createRows } = await import("./index/scores.js");
            const made = createRows(rows.length / dimension, dimension, 127);
            made.bytes.set(new Uint8Array(Int8Array.from(rows).buffer));
            const vector = Float32Array.from(query);
            const all = made.nearest(vector, 20);
            return { all, others: made.nearest(vector, 20, all.slice(0, 2).map(({ row }) => row)),
                     alone: all.map(({ row }) => made.cosine(vector, row)) }; }""",
                                  [rows.ravel().tolist(), dimension, query.tolist()])
        scores = np.minimum(1, rows.astype(np.float32) @ query / 127)
        assert np.allclose([one["score"] for one in found["all"]], np.sort(scores)[::-1], atol=1e-3), dimension
        assert all(abs(scores[one["row"]] - one["score"]) < 1e-3 for one in found["all"]), dimension
        assert np.allclose(found["alone"], [one["score"] for one in found["all"]], atol=1e-3), dimension
        assert found["others"] == found["all"][2:], "two rows are left out"


def test_rows_with_similar_art_are_found(tab):
    random = np.random.default_rng(0)
    hashes = random.integers(0, 256, (300, 128), np.uint8)
    left_out = [7, 299]
    kept = np.setdiff1d(np.arange(300), left_out)
    query = hashes[7, 32:] ^ np.uint8(1)
    found = tab.page.evaluate("""async ([hashes, query, leftOut]) => {
        const { createHashes } = await import("./index/hash_search.js");
        const made = createHashes(hashes.length / 128);
        made.bytes.set(hashes);
        const hash = new Uint32Array(Uint8Array.from(query).buffer);
        return [made.nearest(hash, 1), made.nearest(hash, 20, leftOut)]; }""",
                              [hashes.ravel().tolist(), query.tolist(), left_out])
    index = hash_search.open_hashes(np.ascontiguousarray(hashes[:, 32:]), kept)
    similarity, rows = (part[0] for part in hash_search.search(index, query[None], 20))
    assert found[0] == [7]
    alike = dict(zip(rows.tolist(), similarity.tolist(), strict=True))
    assert [alike.get(row, similarity.min()) for row in found[1]] == similarity.tolist()  # of equal ones, any is right
