"""The WebAssembly kernel that scores the rows: its source gives its bytes, and it gives the right numbers."""
from __future__ import annotations

import re
import shutil
import subprocess

import numpy as np
import pytest
from conftest import ROOT

ASSEMBLER = ROOT / "web" / "node_modules" / "wabt" / "bin" / "wat2wasm"


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node.js on this machine")
@pytest.mark.skipif(not ASSEMBLER.exists(), reason="web/node_modules/wabt is not there: make web needs npm")
def test_the_source_assembles_to_the_bytes_in_scores_js(tmp_path):
    assembled = tmp_path / "scores.wasm"
    subprocess.run(["node", ASSEMBLER, ROOT / "web" / "scores.wat", "-o", assembled], check=True, timeout=60)
    listed = re.search(r"KERNEL = Uint8Array\.of\((.*?)\);", (ROOT / "web" / "scores.js").read_text(), re.DOTALL)[1]
    kernel = bytes(int(byte, 16) for byte in re.findall(r"0x[0-9a-f]{2}", listed))
    data = assembled.read_bytes()
    lines = ["  " + " ".join(f"0x{byte:02x}," for byte in data[at:at + 16]) for at in range(0, len(data), 16)]
    assert kernel == data, "KERNEL in scores.js is to be:\n" + "\n".join(lines)


def test_rows_of_any_length_are_scored(tab):
    random = np.random.default_rng(0)
    tab.page.get_by_role("searchbox").wait_for()
    for dimension in (1, 7, 8, 9, 100, 512):
        rows = random.integers(-128, 128, (20, dimension), np.int8)
        query = random.standard_normal(dimension).astype(np.float32)
        query /= np.linalg.norm(query)
        found = tab.page.evaluate("""async ([rows, dimension, query]) => {
            const { createRows } = await import("./scores.js");
            const made = createRows(rows.length / dimension, dimension, 127);
            made.bytes.set(new Uint8Array(Int8Array.from(rows).buffer));
            return made.nearest(Float32Array.from(query), 5); }""", [rows.ravel().tolist(), dimension, query.tolist()])
        scores = np.minimum(1, rows.astype(np.float32) @ query / 127)
        assert np.allclose([one["score"] for one in found], np.sort(scores)[::-1][:5], atol=1e-3), dimension
        assert all(abs(scores[one["row"]] - one["score"]) < 1e-3 for one in found), dimension
