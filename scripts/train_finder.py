"""Train a network that finds the corners of cards: about 50 minutes on 2 cores, or 25 for the refiner.

    python scripts/train_finder.py --network finder --out corners.onnx

The finder sees the complete photo. The refiner sees one rough place. mirror/corner_training.py and
mirror/refiner_training.py have the two networks. They learn from scenes that mirror/training_scenes.py draws of the
cache's pictures. No photo is needed. With the same cache, seed and number of steps, a network sees the same scenes.

Reads   the pictures in the cache
Writes  the network as ONNX
"""
from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mtg_image_db.arguments import ArgumentParser, number, output_file
from mtg_image_db.common import atomic_file
from mtg_image_db.console import EXIT_OK, SuiteError, entry_point, require_directory, say
from mtg_image_db.recognition import corner_net, corner_refiner
from mtg_image_db.scryfall.image_cache import cached_names

STEPS = {"finder": 3600, "refiner": 5500}  # of 32 scenes, or of 128 places in scenes
MAX_CARDS = 3000  # pictures of the cache that are used. They are held in memory, 0.2 MB each


@entry_point
def main(argv: list[str] | None = None) -> int:
    parser = ArgumentParser(__doc__, "")
    parser.add_argument("--cache", type=Path, default=Path("image_cache"), metavar="DIR",
                        help="a cache of download_images.py (default: image_cache)")
    parser.add_argument("--out", type=output_file, required=True, metavar="FILE",
                        help="the ONNX file to write")
    parser.add_argument("--network", choices=tuple(STEPS), required=True,
                        help="finder (card_corners.onnx) or refiner (corner_refiner.onnx)")
    parser.add_argument("--steps", type=number(int, 1), metavar="N",
                        help=f"steps of the training (default: {STEPS['finder']}, refiner {STEPS['refiner']})")
    parser.add_argument("--seed", type=number(int, 0), default=1, metavar="N",
                        help="another seed draws other scenes (default: 1)")
    args = parser.parse(argv)
    from mirror import corner_training, refiner_training, training  # PyTorch takes seconds
    from mirror.training_scenes import load_cards

    require_directory(args.cache, "cache", "Run python download_images.py first.")
    names = sorted(cached_names(args.cache))
    if not names:
        raise SuiteError("Configuration Error", "the cache has no pictures", args.cache,
                         "Run python download_images.py first.")
    chosen = np.random.default_rng(args.seed).permutation(len(names))[:MAX_CARDS].tolist()
    say(f"Learning from drawn scenes of {len(chosen):,} cards.")
    cards, steps = load_cards([args.cache / names[at] for at in chosen]), args.steps or STEPS[args.network]
    if args.network == "finder":
        network = corner_training.train(cards, steps, args.seed)
        data = training.as_onnx(network, corner_net.SIDE, corner_net.SIDE)
    else:
        network = refiner_training.train(cards, steps, args.seed)
        data = training.as_onnx(network, corner_refiner.HIGH, corner_refiner.WIDE, many=True)
    with atomic_file(args.out) as file:
        file.write(data)
    say(f"The network is in {args.out} ({args.out.stat().st_size / 1e6:.1f} MB).")
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
