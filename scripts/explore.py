"""Look at all cards of an index: near-duplicates and reused artwork, clusters, and a map in one HTML page.

    python scripts/explore.py --out explore_out

Reads   build_manifest.json, mtg_embeddings.npy or mtg_art_embeddings.npy, and mtg_meta.jsonl in <index-dir>
Writes  near_duplicates.csv, near_duplicates.html, points.csv and map.html in <out>
"""
from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mtg_image_db.arguments import ArgumentParser, add_index_flag, directory, number, one_of
from mtg_image_db.art_windows import ART, CARD, REGIONS
from mtg_image_db.console import EXIT_OK, entry_point, require_writable, say
from mtg_image_db.exploration.cards import read_cards
from mtg_image_db.exploration.clusters import MOST
from mtg_image_db.exploration.explore import CLUSTERS, DUPLICATES, MAP, PARTS, described, explore
from mtg_image_db.exploration.near_duplicates import LEAST
from mtg_image_db.exploration.projection import has_umap, require_umap


@entry_point
def main(argv: list[str] | None = None) -> int:
    parser = ArgumentParser(__doc__)
    add_index_flag(parser)
    parser.add_argument("--out", type=directory, default=Path("explore_out"), metavar="DIR",
                        help="the folder to write (default: explore_out)")
    parser.add_argument("--region", type=one_of(*REGIONS), metavar="PART",
                        help="what is compared: the complete card, or the art alone (default: art, if the index has "
                             "vectors of it)")
    parser.add_argument("--only", type=one_of(*PARTS), metavar="PART",
                        help=f"{DUPLICATES}, {CLUSTERS}, or {MAP}, which has the clusters too (default: all)")
    parser.add_argument("--least", type=number(float, 0, 1), metavar="COSINE",
                        help=f"from which cosine on two cards are near-duplicates (default: {LEAST[ART]} for the art, "
                             f"{LEAST[CARD]} for the card)")
    parser.add_argument("--clusters", type=number(int, 1, 1000), metavar="N",
                        help=f"how many clusters (default: by the number of cards, at most {MOST})")
    args = parser.parse(argv)
    if args.only == MAP:
        require_umap()
    require_writable(args.out, "--out")
    cards = read_cards(args.index_dir, args.region)
    say(f"Comparing {described(cards)}.")
    args.out.mkdir(parents=True, exist_ok=True)
    parts = PARTS if has_umap() else (CLUSTERS, DUPLICATES)
    for line in explore(cards, args.out, (args.only,) if args.only else parts, args.least, args.clusters):
        say(line)
    if not args.only and MAP not in parts:
        say("The map is left out: it needs the package umap-learn. pip install umap-learn")
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
