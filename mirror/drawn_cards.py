"""Draw invented trading cards and write them as a small Scryfall mirror.

    python mirror/drawn_cards.py drawn --cards 185

Reads   nothing. A card depends only on its number, so a larger N keeps every earlier card byte for byte
Writes  OUT/unique-artwork.jsonl.gz, OUT/bulk-data.json and, for each face, a picture of 488x680 as
        OUT/images/normal/{front|back}/{id[0]}/{id[1]}/{id}.jpg. A picture that exists already is kept
"""
from __future__ import annotations

import gzip
import io
import itertools
import json
import re
import sys
import textwrap
import unicodedata
import uuid
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw, ImageFont

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mirror.card_art import mix, noise, paint, rgb, shows_a_beast, to_picture
from mirror.replies import API, BULK_IDS, CARDS, DATA, IMAGE_KEYS
from mtg_image_db import arguments
from mtg_image_db.console import EXIT_OK, entry_point, say

SIZE = IMAGE_KEYS["normal"][1]
SPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://example.org/drawn-cards")
FIRST_UPDATE = datetime(2026, 9, 24, 21, 2, 28, tzinfo=timezone.utc)
ARTIST = "A script"

# Low numbers, so that forty cards have at least one of each kind.
QUOTED, QUOTED_NAME = 1, "Téodric \"Lantern\" Vey's Oath"
SPLIT, ADVENTURE, REPRINTS = 7, 9, {13: 11}
FOIL_ONLY = 6  # cards whose number ends in it exist as foil only
BACK = 100_003  # seeds of second sides start here. No multiple of the painters' number, so a back looks different

COLORINGS = ("W", "U", "B", "R", "G", "", "UW", "BU", "BR", "GR", "GW", "RU", "BW")
FRAMES = {"W": "#d9cfb4", "U": "#3f76a8", "B": "#4a4250", "R": "#b5482f", "G": "#3f7a4a", "": "#8b9197"}
BORDERS = {"black": "#15130f", "white": "#efece4", "gold": "#a98a45"}
RARITIES = {"common": "#2b2b2b", "uncommon": "#8fa3ad", "rare": "#c39b3a", "mythic": "#d0572a"}
INK = "#181512"
_font = lru_cache(ImageFont.load_default)

PLACES = """Ovrel Quorvath Tammerin Ysk Belhaund Carrow Drissel Eshkar Fennoway Gurrim Hathelow Ildra Jorveth Lirrane
    Kestermoor Mossgarde Nethwick Orrinmere Pellagar Quillane Rushmarrow Tolveil Varrowgate Wexmoor Xanthir""".split()
NOUNS = """Heron Lantern Warden Ferryman Bell Orchard Archivist Moth Compass Tollkeeper Thistle Basilica Otter Kiln
    Stargazer Bramble Weathervane Minstrel Anvil Lighthouse Pilgrim Beetle Causeway Mirror Stag Windmill""".split()
ADJECTIVES = """Rusted Patient Gilded Hollow Whispering Ninth Sleepless Salt-Worn Verdant Borrowed Ashen""".split()
KIN = "Warden Drifter Scholar Beast Sprite Tinker Giant Serpent Ranger Oracle Shade Guard".split()
SETS = (("qma", "Amberfall", "2019-03-08"), ("qmb", "Clockwork Tide", "2021-09-24"), ("qmc", "Embers", "2025-05-16"))
RULES = ("When this card arrives, look at the top {n} leaves of your satchel and keep one of them.", "Wayfaring {n}",
         "Spend {n} embers: this card stands again. Do this only before noon.", "Skyward, Undertow",
         "Whenever you light a beacon, you may trade places with the nearest {kin}.",
         "Turn {n} stones face up. Each one that shows a river becomes a bridge.")
FLAVOURS = ("The tide keeps its own ledger, and it never forgives a debt.", "Every map is a promise.",
            "It was old when the first door was hung.", "She counted the stars and came up one short.")


def _panel(card: Image.Image, box: tuple[int, int, int, int], radius: int, fill: Image.Image | str | ArrayLike) -> None:
    """A rounded rectangle of a colour or of a picture."""
    w, h = box[2] - box[0], box[3] - box[1]
    mask = Image.new("L", (w * 3, h * 3))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, w * 3 - 1, h * 3 - 1), radius * 3, fill=255)
    card.paste(fill if isinstance(fill, Image.Image) else rgb(fill), box, mask.reduce(3))


def _ascii(text: str) -> str:
    """Replace accented letters and dashes: Pillow's font has none."""
    return unicodedata.normalize("NFKD", text.replace("\u2014", "-")).encode("ascii", "ignore").decode()


def _print_cost(card: Image.Image, cost: str) -> int:
    """Print the cost. Returns the x at which it begins."""
    right = 454
    for symbol in reversed(re.findall(r"{(\w+)}", cost)):
        _panel(card, (right - 22, 38, right, 60), 11, INK)
        _panel(card, (right - 21, 39, right - 1, 59), 10, FRAMES.get(symbol, "#cfcac2"))
        if symbol.isdigit():
            ImageDraw.Draw(card).text((right - 11, 49), symbol, INK, _font(16), anchor="mm")
        right -= 24
    return right


def _details(seed: int, colors: str) -> dict[str, Any]:
    """The details printed on the face and stored in its object."""
    random, number = np.random.RandomState([seed, 2]), seed % BACK
    kind = "Being" if shows_a_beast(seed) else str(random.choice(["Being", "Place", "Rite", "Relic", "Charm"]))
    cost = "" if kind == "Place" else "".join(f"{{{symbol}}}" for symbol in (random.randint(1, 7), *colors))
    chosen = sorted(random.choice(len(RULES), random.randint(1, 3), replace=False))
    return {"cost": cost, "type": f"{kind} \u2014 {' '.join(random.choice(KIN, 2))}" if kind == "Being" else kind,
            "rules": [RULES[k].format(n=random.randint(2, 5), kin=random.choice(KIN)) for k in chosen],
            "flavour": str(random.choice(FLAVOURS)),
            "set": SETS[number % len(SETS)][0],
            "number": f"A-{number + 1}" if number % 20 == 6 else f"{number + 1}{'b' if number % 12 == 11 else ''}",
            "border": "gold" if number % 14 == 5 else "white" if number % 6 == 2 else "black",
            "rarity": list(RARITIES)[(0, 1, 0, 2, 1, 0, 0, 3, 1, 2, 0)[number % 11]]}


def draw_face(name: str, seed: int, colors: str) -> Image.Image:
    """One card face, RGB 488x680. The art and the printed text depend only on `seed`."""
    random, details, split_y = np.random.RandomState([seed, 1]), _details(seed, colors), (372, 336, 404)[seed % 3]
    first, last = rgb(FRAMES[colors[:1]]), rgb(FRAMES[colors[-1:]])
    across = np.clip(np.linspace(-0.6, 1.6, 452), 0, 1)[None, :, None]
    frame = mix(first, last, across) * (0.78 + 0.4 * noise(random, 452, 624, 5, 5))[..., None]
    paper = mix(first, (253, 250, 241), 0.85) * (0.93 + 0.09 * noise(random, 420, 582 - split_y, 6, 5))[..., None]
    card = Image.new("RGB", SIZE, "white")
    _panel(card, (0, 0, *SIZE), 24, BORDERS[details["border"]])
    _panel(card, (18, 18, 470, 642), 14, to_picture(frame))
    _panel(card, (32, 70, 456, split_y + 2), 3, INK)
    _panel(card, (34, 72, 454, split_y), 2, paint(random, seed, colors, 420, split_y - 72))
    for top in (30, split_y + 4):
        _panel(card, (28, top, 460, top + 37), 11, INK)
        _panel(card, (30, top + 2, 458, top + 35), 10, mix(first, (250, 246, 236), 0.72))
    _panel(card, (32, split_y + 44, 456, 630), 5, INK)
    _panel(card, (34, split_y + 46, 454, 628), 4, to_picture(paper))
    _print_text(card, _ascii(name), details, split_y)
    return card


def _print_text(card: Image.Image, name: str, details: dict[str, Any], split_y: int) -> None:
    draw, y, size, width = ImageDraw.Draw(card), split_y + 22, 23, _print_cost(card, details["cost"]) - 50
    while size > 8 and _font(size).getlength(name) > width:
        size -= 1
    draw.text((40, 49), name, INK, _font(size), anchor="lm")
    draw.text((40, y), _ascii(details["type"]), INK, _font(19), anchor="lm")
    draw.polygon([(443, y - 11), (453, y), (443, y + 11), (433, y)], fill=RARITIES[details["rarity"]], outline=INK)
    text = "\n".join(line for rule in details["rules"] for line in textwrap.wrap(rule, 46))
    draw.multiline_text((46, split_y + 60), text, INK, _font(17), spacing=6)
    draw.text((46, 612), details["flavour"], "#685644", _font(14), anchor="lm")
    ink = "#d6d2ca" if details["border"] == "black" else INK
    digits = int(re.sub(r"\D", "", details["number"]))  # like Magic cards since 2014, in two lines
    draw.text((30, 650), f"{digits:03d}/185 {details['rarity'][0].upper()}", ink, _font(14), anchor="lm")
    draw.text((30, 666), f"{details['set'].upper()} - EN", ink, _font(14), anchor="lm")
    draw.text((130, 666), ARTIST, ink, _font(14), anchor="lm")


def _side(number: int, part: int) -> tuple[str, int, str]:
    """The arguments of draw_face for the front or the second part of a card."""
    # 1009 shares no factor with the number of pairs, so all pairs come before one comes twice.
    at_place, at_noun = divmod(number * 1009 % (len(PLACES) * len(NOUNS)), len(NOUNS))
    place, noun, adjective = PLACES[at_place], NOUNS[at_noun], ADJECTIVES[number * 5 % len(ADJECTIVES)]
    name = (f"{place} {noun}", f"{adjective} {noun} of {place}", f"{place}, {adjective} {noun}")[number % 3]
    if part or number == QUOTED:
        name = f"Remember the {noun} of {place}" if part else QUOTED_NAME
    return name, number + BACK * part, COLORINGS[(number + 5 * part) % len(COLORINGS)]


def _face(number: int, part: int) -> dict[str, Any]:
    name, seed, colors = _side(number, part)
    details = _details(seed, colors)
    return {"object": "card_face", "name": name, "mana_cost": details["cost"], "type_line": details["type"],
            "oracle_text": "\n".join(details["rules"]), "colors": sorted(colors), "artist": ARTIST,
            "illustration_id": str(uuid.uuid5(SPACE, f"art/{number}/{part}"))}


def _card(number: int, layout: str, status: str) -> dict[str, Any]:
    """The Scryfall object of the card with this number."""
    source, card_id = REPRINTS.get(number, number), str(uuid.uuid5(SPACE, f"card/{number}"))
    (code, set_name, released), epoch = SETS[number % len(SETS)], 1_700_000_000 + number * 86_413
    faces = [_face(source, part) for part in range(1 if layout == "normal" else 2)]
    name, details = " // ".join(face["name"] for face in faces), _details(*_side(source, 0)[1:])
    uris = [{key: f"{CARDS}/{key}/{side}/{card_id[0]}/{card_id[1]}/{card_id}.{extension}?{epoch}"
             for key, (extension, *_) in IMAGE_KEYS.items()} for side in ("front", "back")]
    slug = re.sub(r"[^a-z0-9]+", "-", _ascii(name).lower()).strip("-")
    card = {"object": "card", "id": card_id, "oracle_id": str(uuid.uuid5(SPACE, f"oracle/{source}")), "name": name,
            "released_at": released, "uri": f"{API}/cards/{card_id}", "layout": layout, "image_status": status,
            "scryfall_uri": f"https://scryfall.com/card/{code}/{details['number']}/{slug}?utm_source=api",
            "type_line": " // ".join(face["type_line"] for face in faces), "set": code, "set_name": set_name,
            "collector_number": details["number"], "rarity": details["rarity"], "artist": ARTIST, "frame": "2015",
            "border_color": details["border"], "digital": False, "lang": "en",
            "finishes": ["foil"] if number % 10 == FOIL_ONLY else ["nonfoil", "foil"], "tcgplayer_id": 100_000 + number,
            "cardmarket_id": 200_000 + number,
            "color_identity": sorted({color for face in faces for color in face["colors"]})}
    if layout == "transform":
        faces = [face | {"image_uris": side} for face, side in zip(faces, uris, strict=True)]
    else:
        keys = ("mana_cost", "oracle_text", "colors", "illustration_id")
        card |= {"image_uris": uris[0], **{key: faces[0][key] for key in keys}}
    return card if layout == "normal" else card | {"card_faces": faces}


def _jpeg(number: int, part: int, layout: str, status: str) -> bytes:
    image, stream = Image.new("RGB", SIZE, "#b0b2b6"), io.BytesIO()
    if status not in ("placeholder", "missing"):
        name, seed, colors = _side(REPRINTS.get(number, number), part)
        image = draw_face(f"{name} // {_side(number, 1)[0]}" if layout == "split" else name, seed, colors)
    image.save(stream, "JPEG", quality=90)
    return stream.getvalue()


def _replace(path: Path, data: bytes) -> None:
    """Write to a temporary name first. The next run would keep an incomplete picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    partial.write_bytes(data)
    partial.replace(path)


def _bulk_list(cards: int, compressed_size: int) -> dict[str, Any]:
    """The bulk list. Each number of cards is a version, with a time one minute later for each card."""
    updated = FIRST_UPDATE + timedelta(minutes=cards)
    at, stamp = updated.isoformat(timespec="milliseconds"), f"{updated:%Y%m%d%H%M%S}"
    entries = [{"object": "bulk_data", "id": bulk_id, "type": kind, "updated_at": at,
                "uri": f"{API}/bulk-data/{bulk_id}", "name": kind.replace("_", " ").title(),
                "description": "Invented cards, drawn by a script.", "compressed_size": compressed_size,
                "jsonl_download_uri": f"{DATA}/{slug}/{slug}-{stamp}.jsonl.gz"}
               for kind, bulk_id in BULK_IDS.items() for slug in [kind.replace("_", "-")]]
    return {"object": "list", "has_more": False, "data": entries}


def write_mirror(root: Path, cards: int = 185, *, double_faced: int = 15, placeholders: int = 2) -> int:
    """Write the mirror of this many cards. Returns the number of faces in its bulk file."""
    layouts = dict.fromkeys(range(4, 4 + 2 * double_faced, 2), "transform") | {SPLIT: "split", ADVENTURE: "adventure"}
    unseen = (3, 5, *range(15, 15 + 2 * placeholders, 2))[:placeholders]
    statuses = dict(zip(unseen, itertools.cycle(("placeholder", "missing")), strict=False))
    lines, faces = [], 0
    for number in range(cards):
        layout = layouts.get(number, "normal")
        status = statuses.get(number, "lowres" if number % 9 == 8 else "highres_scan")
        card = _card(number, layout, status)
        lines.append(json.dumps(card, ensure_ascii=False, separators=(",", ":")) + "\n")
        for part, side in enumerate(("front", "back") if layout == "transform" else ("front",)):
            path = root / "images" / "normal" / side / card["id"][0] / card["id"][1] / f"{card['id']}.jpg"
            if not path.exists():
                _replace(path, _jpeg(number, part, layout, status))
            faces += 1
    bulk = gzip.compress("".join(lines).encode(), mtime=0)
    _replace(root / "unique-artwork.jsonl.gz", bulk)
    _replace(root / "bulk-data.json", (json.dumps(_bulk_list(cards, len(bulk)), indent=1) + "\n").encode())
    return faces


@entry_point
def main(argv: list[str] | None = None) -> int:
    parser = arguments.ArgumentParser(__doc__, " OUT")
    parser.add_argument("out", type=arguments.directory, metavar="OUT", help="the folder to write")
    parser.add_argument("--cards", type=arguments.number(int, 1), default=185, metavar="N",
                        help="how many (default: 185)")
    args = parser.parse(argv)
    say(f"{args.out}: {args.cards} cards, {write_mirror(args.out, args.cards)} faces")
    say(f"Next: python mirror/scryfall_mirror.py --root {args.out}")
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
