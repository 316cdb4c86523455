"""Index -> browser files: int8 vectors and metadata, and the files to search for pictures and by words.

    python export_for_browser.py --output-dir my_page --with-model

Reads   build_manifest.json, mtg_embeddings.npy and mtg_meta.jsonl in <input-dir>; --with-model also mtg_pictures.npy,
        the model's weights, and a few pictures in <cache> to compare its vectors on
Writes  <output-dir>/embeddings.i8bin (int8, N*D bytes, row-major, round(v*127)), meta.json and meta.json.gz;
        --with-model also model.onnx, model.int8.onnx (if its vectors agree), hashes.bin (uint8, N*128 bytes), the
        networks that find corners, and printings.bin; --with-reading also the networks that read text; --with-text
        text.int8.onnx and text_tokenizer.json, of an index that finds cards by words
"""
from __future__ import annotations

import sys
from pathlib import Path

from mtg_image_db.arguments import OUT, ArgumentParser, cache_beside, directory
from mtg_image_db.browser.export import ExportOptions, export
from mtg_image_db.console import EXIT_OK, SuiteError, command, entry_point, require_directory, say


@entry_point
def main(argv: list[str] | None = None) -> int:
    parser = ArgumentParser(__doc__)
    parser.add_argument("--input-dir", type=Path, default=OUT, metavar="DIR",
                        help="where the build wrote (default: index_out)")
    parser.add_argument("--output-dir", type=directory, default=OUT, metavar="DIR",
                        help="where to write the browser's files (default: index_out)")
    parser.add_argument("--compact", action="store_true",
                        help="write the metadata in columns: a quarter of the bytes, for pages that read this form")
    parser.add_argument("--with-art", action="store_true",
                        help="also write the vectors of the art, with which a page finds similar art")
    model = parser.group("model")
    model.add_argument("--with-model", action="store_true",
                       help="also write the model, which a page needs to search for pictures")
    model.add_argument("--with-reading", action="store_true",
                       help="with --with-model: also write the networks that read printings and titles, 32 MB")
    model.add_argument("--with-text", action="store_true",
                       help="also write the text side of a CLIP model, which a page needs to find cards by what their "
                            "pictures show: 66 MB for ViT-B/32")
    model.add_argument("--cache", type=Path, metavar="DIR",
                       help="pictures to measure the model on (default: image_cache beside <input-dir>)")
    args = parser.parse(argv)
    cache = args.cache or cache_beside(args.input_dir)
    if args.with_model:
        require_directory(cache, "cache", "Name it with --cache, or leave out --with-model.")
    elif args.with_reading:
        raise SuiteError("Invalid Arguments", "--with-reading needs the model", "--with-reading", "Add --with-model.")
    result = export(ExportOptions(args.input_dir, args.output_dir, args.compact, cache if args.with_model else None,
                                  args.with_reading, args.with_art, args.with_text))
    sizes = ", ".join(f"{name} {size / 1e6:,.1f} MB" for name, size in result.bytes.items())
    say(f"Exported {result.rows:,} x {result.dimension} int8 vectors (recall@1 {result.fidelity['recall_at_1']}, "
        f"recall@10 {result.fidelity['recall_at_10']} of float32) to {args.output_dir}: {sizes}.")
    serve = command("scripts/serve.py", "--index-dir", args.input_dir)
    say(f"Next: {serve}" if args.output_dir == args.input_dir else
        "Next: copy the folder web/ to where your page is. docs/browser.md says how a page of your own uses it.")
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
