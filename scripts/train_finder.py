"""Train the network that finds the corners of cards: about 60 minutes on 2 cores.

    python scripts/train_finder.py --cache image_cache --out corners.onnx

mirror/corner_training.py has the network. It learns from scenes that mirror/training_scenes.py draws of the cache's
pictures. No photo is needed. With the same cache, seed and number of steps, it sees the same scenes in the same order.

Reads   the pictures in the cache
Writes  the network as ONNX
"""
from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mtg_image_db.arguments import ArgumentParser, number
from mtg_image_db.common import atomic_file
from mtg_image_db.console import EXIT_OK, SuiteError, entry_point, require_directory, say
from mtg_image_db.scryfall.image_cache import cached_names

STEPS = 3600  # of 32 scenes
MAX_CARDS = 3000  # pictures of the cache that are used. They are held in memory, 0.2 MB each


@entry_point
def main(argv: list[str] | None = None) -> int:
    parser = ArgumentParser(__doc__, "")
    parser.add_argument("--cache", type=Path, default=Path("image_cache"), metavar="DIR", help="pictures of cards")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the ONNX file to write")
    parser.add_argument("--steps", type=number(int, 1), default=STEPS, metavar="N",
                        help=f"steps of 32 scenes (default: {STEPS})")
    parser.add_argument("--seed", type=number(int, 0), default=1, metavar="N")
    args = parser.parse(argv)
    from mirror.corner_training import as_onnx, train  # PyTorch takes seconds
    from mirror.training_scenes import load_cards

    require_directory(args.cache, "cache", "Run python download_images.py first.")
    names = sorted(cached_names(args.cache))
    if not names:
        raise SuiteError("Configuration Error", "the cache has no pictures", args.cache,
                         "Run python download_images.py first.")
    chosen = np.random.default_rng(args.seed).permutation(len(names))[:MAX_CARDS].tolist()
    say(f"Learning from drawn scenes of {len(chosen):,} cards.")
    network = train(load_cards([args.cache / names[at] for at in chosen]), args.steps, args.seed)
    with atomic_file(args.out) as file:
        file.write(as_onnx(network))
    say(f"The network is in {args.out} ({args.out.stat().st_size / 1e6:.1f} MB).")
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
