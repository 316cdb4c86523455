"""One self-contained HTML page: each queried picture beside the faces that match its cards.

    write(path, "54,000 faces, ViT-B-32", [section(Row("photo.jpg", "2 cards: 2 recognised", picture, None, groups))])

Reads   nothing
Writes  the page, with pictures and style inside. It links only card pictures that are not available here
"""
from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mtg_image_db.common import atomic_file
from mtg_image_db.index.reader import Face, Match
from mtg_image_db.leftovers import remove_leftovers

if TYPE_CHECKING:
    from PIL.Image import Image

THUMBNAIL, PHOTO = 340, 840  # pixels wide, twice the shown width: sharp on a dense screen
NARROW, WIDE = 150, 480  # pixels for a card with one match, and with many
UNDECIDED = "undecided"  # the state of a picture of which nothing was decided: --find off
WEB_ADDRESS = ("https://", "http://")
STYLE = """
:root { color-scheme: light dark; --line: #d4d4d0; --quiet: #63635e; --page: #faf9f6; --card: #fff;
  --recognised: #1a7a4c; --likely: #8a6400; --unknown: #b3541e }
@media (prefers-color-scheme: dark) {
  :root { --line: #3a3a38; --quiet: #a2a29b; --page: #1a1a19; --card: #242423;
  --recognised: #5cc492; --likely: #e3bd55; --unknown: #e09a6a } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 1100px; padding: 32px 20px; background: var(--page);
  font: 15px/1.45 system-ui, sans-serif }
h1 { font-size: 24px; margin: 0 }
.subtitle { color: var(--quiet); margin: 4px 0 24px }
section { display: grid; grid-template-columns: minmax(190px, 2fr) minmax(0, 3fr); gap: 28px; padding: 20px;
  margin-bottom: 16px; background: var(--card); border: 1px solid var(--line); border-radius: 12px }
section.gallery { display: block }
.gallery .matches { grid-template-columns: repeat(auto-fill, minmax(130px, 1fr)) }
.gallery figure { max-width: none }
figure { margin: 0; max-width: 170px }
figure.query { max-width: 420px }
h2 { font-size: 18px; margin: 0 0 14px; overflow-wrap: anywhere }
h3 { font-size: 16px; margin: 0; color: var(--state) }
h3 + p { margin: 0 0 8px }
.recognised { --state: var(--recognised) }
.likely { --state: var(--likely) }
.unknown { --state: var(--unknown) }
.undecided { --state: var(--quiet) }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(var(--wide), 100%), 1fr)); gap: 24px 20px }
figure.query { position: sticky; top: 16px; align-self: start }
img { width: 100%; border-radius: 8px; display: block; background: var(--line) }
figcaption { margin-top: 8px; overflow-wrap: break-word; min-width: 0 }
.matches { display: grid; grid-template-columns: repeat(auto-fill, minmax(120px, 170px)); gap: 20px }
.unknown .matches img { opacity: 0.55 }
.quiet { color: var(--quiet); font-size: 13px }
.score { height: 4px; border-radius: 2px; background: var(--line); margin: 6px 0 2px }
.score i { display: block; height: 100%; border-radius: 2px; background: var(--state) }
a { color: inherit }
@media (max-width: 600px) { section { grid-template-columns: minmax(0, 1fr); gap: 14px; padding: 14px }
  figure.query { max-width: none; position: static } }
"""


@dataclass(frozen=True)
class Group:
    """A card of a query: its title, its state, a line that says more, and its matches with their reference pictures
    (None: the page links to the match's image_url)."""
    title: str
    state: str
    detail: str
    matches: Sequence[tuple[Match, Image | None]]


@dataclass(frozen=True)
class Row:
    """A query on the page: its name, how many cards it has, its picture, its cards, or the reason why it has no
    matches."""
    name: str
    summary: str
    picture: Image | None
    error: str | None
    groups: Sequence[Group]


def write(path: Path, subtitle: str, sections: Iterable[str], title: str = "Card matches") -> None:
    """Write the page. Card pictures are shown complete, with the artist's name."""
    body = "".join(sections)
    page = (f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
            f"<title>{title}</title><style>{STYLE}</style><h1>{title}</h1>"
            f"<p class=subtitle>{html.escape(subtitle)}</p>{body}</html>\n")
    remove_leftovers(path.parent)
    with atomic_file(path) as file:
        file.write(page.encode())


def section(row: Row) -> str:
    """The HTML of one query. It holds a small copy of the picture: a photo of 12 megapixels would take 36 MB."""
    shown = f"<img src='{_data_uri(row.picture, PHOTO)}' alt='query'>" if row.picture else ""
    width = max((len(group.matches) for group in row.groups), default=1)
    groups = f"<div class=cards style='--wide:{min(WIDE, width * NARROW)}px'>{''.join(map(_group, row.groups))}</div>"
    if not any(group.matches for group in row.groups):
        groups = f"<p>Left out: {html.escape(row.error or 'nothing in the index')}.</p>"
    heading = f"<h2>{html.escape(row.summary)}</h2>" if row.summary else ""
    return (f"<section><figure class=query>{shown}<figcaption class=quiet>{html.escape(row.name)}</figcaption></figure>"
            f"<div>{heading}{groups}</div></section>")


def _group(group: Group) -> str:
    title = f"<h3>{html.escape(group.title)}</h3>" if group.title else ""
    detail = f"<p class=quiet>{html.escape(group.detail)}</p>" if group.detail else ""
    matches = "".join(_match(match, picture) for match, picture in group.matches)
    return f"<div class={group.state}>{title}{detail}<div class=matches>{matches}</div></div>"


def gallery(title: str, faces: Sequence[tuple[Face, Image | None, str]]) -> str:
    """The HTML of faces that were found without a picture, each with its reference picture and a line below it."""
    shown = "".join(_figure(face, picture, f"<div class=quiet>{html.escape(line)}</div>")
                    for face, picture, line in faces)
    return f"<section class=gallery><h2>{html.escape(title)}</h2><div class=matches>{shown}</div></section>"


def _match(match: Match, picture: Image | None) -> str:
    return _figure(match, picture, f"<div class=score><i style='width:{100 * max(0.0, min(1.0, match.score)):.0f}%'>"
                                   f"</i></div><div class=quiet>score {match.score:.3f}</div>")


def _figure(match: Face, picture: Image | None, below: str) -> str:
    address = html.escape(match.image_url, quote=True)
    source = _data_uri(picture, THUMBNAIL) if picture else address
    title = f"<b>{html.escape(match.name)}</b>"
    if match.scryfall_uri.startswith(WEB_ADDRESS):
        title = f"<a href='{html.escape(match.scryfall_uri, quote=True)}'>{title}</a>"
    artist = f"<div class=quiet>Art: {html.escape(match.artist)}</div>" if match.artist else ""
    lazy = "" if picture else " loading=lazy"
    return (f"<figure><img src='{source}' alt='{html.escape(match.name, quote=True)}'{lazy}><figcaption>{title}"
            f"<div class=quiet>{html.escape(match.set.upper())} {html.escape(match.collector_number)}</div>{artist}"
            f"{below}</figcaption></figure>")


def _data_uri(picture: Image, width: int) -> str:
    picture = picture.copy()
    picture.thumbnail((width, 2 * width))
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"
