"""What the page is served from, and whether the browser's files have to be exported first.

    if needs_export(site, manifest): export_for(site, manifest)

Reads   the browser's files of the index, and the names in the cache
Writes  the browser's files in site.exported, if they are missing or old (export.py)
"""
from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mtg_image_db.artefacts import ART_EMBEDDINGS, ART_FORMAT_VERSIONS, MODEL
from mtg_image_db.browser.export import COLUMNS_FORMAT, ExportOptions, export
from mtg_image_db.browser.freshness import exported_head, is_current
from mtg_image_db.browser.network_files import can_read
from mtg_image_db.browser.text_files import has_text
from mtg_image_db.console import SuiteError, say
from mtg_image_db.index.vectors import names_cards
from mtg_image_db.scryfall.image_cache import cached_names

COMPACT_FROM = 100_000  # cards. In records, 500,000 cards take 382 MB, which is close to what a browser can parse


@dataclass(frozen=True)
class Site:
    """The folders that are served: the page's files, the index, the card pictures, which may be missing, and the
    browser's files of the index. reads: the page shall read text, where that is installed."""
    web: Path
    index_dir: Path
    cache: Path
    exported: Path
    reads: bool = True


def needs_export(site: Site, manifest: dict[str, Any]) -> bool:
    """True if the browser's files are missing, damaged, not of this build, without the words or the vectors of the art
    that the index has, or without the model although there are pictures to measure it on, or without what reads text.
    manifest is the build's."""
    if not is_current(site.exported, manifest):
        return True
    head = exported_head(site.exported)
    if (has_text(manifest) and not head.get("text")) or (ART_EMBEDDINGS in manifest["outputs"] and "art" not in head):
        return True
    is_complete = has_model(site) and (_has_reading(site) or not _reads(site))
    return not is_complete and can_export_model(site, manifest)


def export_for(site: Site, manifest: dict[str, Any]) -> None:
    """Write the browser's files, with words if the index has them: a page fetches those only when a person first
    searches by words. If the model cannot be exported, it is left out. Raises SuiteError."""
    head, with_model = exported_head(site.exported), can_export_model(site, manifest)
    compact = head["version"] in (COLUMNS_FORMAT, ART_FORMAT_VERSIONS[COLUMNS_FORMAT]) if head else \
        manifest["statistics"]["successful_embeddings"] > COMPACT_FROM
    options = ExportOptions(site.index_dir, site.exported, compact, site.cache if with_model else None, _reads(site),
                            ART_EMBEDDINGS in manifest["outputs"], has_text(manifest))
    try:
        export(options, manifest)
    except SuiteError as error:
        if not with_model or error.category not in ("Build Error", "Configuration Error"):
            raise
        say(str(error))
        export(replace(options, cache=None), manifest)


def can_export_model(site: Site, manifest: dict[str, Any]) -> bool:
    """True if the index names cards and has its model as ONNX, and there are pictures to measure it on."""
    return names_cards(manifest) and MODEL in manifest["outputs"] and bool(cached_names(site.cache))


def has_model(site: Site) -> bool:
    """True if the exported files include the model."""
    return "embedding" in exported_head(site.exported)


def _has_reading(site: Site) -> bool:
    return "networks" in exported_head(site.exported)["recognition"]["reading"]


def _reads(site: Site) -> bool:
    return site.reads and can_read()
