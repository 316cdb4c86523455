// The files of the page, which service_worker.js keeps on the device. tests/test_web_offline.py compares them with
// web/. What a server does not have is left out: without `make web`, there is no vendor/.
//
//     importScripts("page_files.js");
//     self.PAGE_FILES   // ["./", "style.css" ...], "./" is index.html

self.PAGE_FILES = [
  "./", "app.webmanifest", "icon.svg", "icon-192.png", "icon-512.png", "icon-maskable.png", "style.css",
  "abilities.js", "search.js", "worker.js",
  "collection/formats.js", "collection/imports.js", "collection/lists.js", "collection/lists_database.js",
  "collection/scan_session.js", "collection/undoing.js",
  "index/artefacts.js", "index/card_index.js", "index/card_search.js", "index/hash_search.js", "index/listed_cards.js",
  "index/names.js", "index/printings.js", "index/scores.js", "index/search_columns.js", "index/search_fields.js",
  "index/search_terms.js", "index/search_words.js", "index/sort_orders.js", "index/word_search.js",
  "page/address.js", "page/camera.js", "page/card_tile.js", "page/card_view.js", "page/dom.js", "page/entry_dialog.js",
  "page/kept.js", "page/list_view.js", "page/offline.js", "page/outlines.js", "page/page.js", "page/photo_view.js",
  "page/scan_options.js", "page/scan_sheet.js", "page/scan_view.js", "page/search_help.js", "page/search_view.js",
  "page/settings.js", "page/signals.js", "page/start.js", "page/start_view.js", "page/states.js",
  "page/storage_notice.js", "page/transfer.js",
  "recognition/card_reader.js", "recognition/cards.js", "recognition/corner_net.js", "recognition/corner_refiner.js",
  "recognition/cut_off.js", "recognition/decision.js", "recognition/embedder.js", "recognition/finder.js",
  "recognition/fitting.js", "recognition/hash_kernel.js", "recognition/letters.js", "recognition/namer.js",
  "recognition/networks.js", "recognition/open_index.js", "recognition/opencv.js", "recognition/outlines.js",
  "recognition/picture_hash.js", "recognition/pictures.js", "recognition/places.js", "recognition/preparation.js",
  "recognition/printed_lines.js", "recognition/printing_choice.js", "recognition/quads.js", "recognition/retrieval.js",
  "recognition/text_embedder.js", "recognition/text_reader.js", "recognition/titled_cards.js", "recognition/titles.js",
  "vendor/SearchableMap.js", "vendor/d3-dsv.min.mjs", "vendor/idb.js", "vendor/leven.js", "vendor/opencv.js",
  "vendor/ort-wasm-simd-threaded.mjs", "vendor/ort-wasm-simd-threaded.wasm", "vendor/ort.wasm.min.mjs",
  "vendor/tokenizers.min.mjs",
];
