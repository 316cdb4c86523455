"""Write the index as one Parquet file, for data tools and vector databases.

    python scripts/export_vectors.py --parquet cards.parquet

Reads   build_manifest.json, mtg_embeddings.npy and mtg_meta.jsonl in <index-dir>
Writes  the Parquet file
"""
from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mtg_image_db.arguments import ArgumentParser, add_index_flag, one_of, output_file
from mtg_image_db.console import EXIT_OK, entry_point, say
from mtg_image_db.index.parquet_file import PRECISIONS, write_parquet


@entry_point
def main(argv: list[str] | None = None) -> int:
    parser = ArgumentParser(__doc__)
    add_index_flag(parser)
    parser.add_argument("--parquet", type=output_file, default=Path("cards.parquet"), metavar="FILE",
                        help="the file to write (default: cards.parquet)")
    parser.add_argument("--numbers", type=one_of(*PRECISIONS), default=PRECISIONS[0], metavar="TYPE",
                        help="of the vectors: float32, or float16 for half the bytes (default: float32)")
    args = parser.parse(argv)
    result = write_parquet(args.index_dir, args.parquet, args.numbers)
    say(f"Wrote {result.rows:,} rows with {result.columns} columns and {result.vectors} of {result.dimension} "
        f"{args.numbers} numbers to {args.parquet}: {result.bytes / 1e6:,.1f} MB.")
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
