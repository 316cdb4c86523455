"""Draw invented trading cards and write them as a small Scryfall mirror.

    python mirror/drawn_cards.py OUT --cards 185

Reads   nothing: a card follows from its number alone, so a larger N keeps every earlier card byte for byte
Writes  OUT/unique-artwork.jsonl.gz, OUT/bulk-data.json and, for each face, a picture of 488x680 as
        OUT/images/normal/{front|back}/{id[0]}/{id[1]}/{id}.jpg; a picture that is there already is kept
"""
from __future__ import annotations

import argparse
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

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mirror.scryfall_mirror import API, BULK_IDS, CARDS, DATA, IMAGE_KEYS

SIZE = IMAGE_KEYS["normal"][1]
SPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://example.org/drawn-cards")
FIRST_UPDATE = datetime(2026, 9, 24, 21, 2, 28, tzinfo=timezone.utc)
ARTIST = "A script"

# Fixed low numbers: forty cards hold one of everything.
QUOTED, QUOTED_NAME = 1, "Téodric \"Lantern\" Vey's Oath"
SPLIT, ADVENTURE, REPRINTS = 7, 9, {13: 11}
BACK = 100_003  # seeds from here on are the second sides; no multiple of the painters, so a back looks different

COLORINGS = ("W", "U", "B", "R", "G", "", "UW", "BU", "BR", "GR", "GW", "RU", "BW")
PALETTES = {  # three each of dark, middle, light, pale, accent
    "W": "4a3b2a 9c7b4f d9b978 f6e8c6 e8743b 3d4663 8b93ad cfc8c2 f7f2e6 d8a13a 5a3f46 b0848a e3bfae fbeede 5f9ea8",
    "U": "0b1f3a 1f4e79 4a90b8 b9e0ea f2b84b 1a1b4b 3a4aa0 6f9be0 d3e6f7 f0718a 08313a 0f6a73 39a9a0 bff0de ff9f5a",
    "B": "120d1c 3a2748 6d4b7d b79ac0 a4d65e 0f1013 2e3138 5d5a66 b5a9a2 d03a50 0d1a1c 263b3d 52696a a5b8ae d88cf0",
    "R": "2a0a0a 7a1f16 c8482c f4a259 ffe08a 2b1320 7d2a4b d1495b f79d65 fff1b8 2d1606 8a3f0c d9801f fbc560 d2f0e8",
    "G": "0d1f12 25502c 4f8a3a a9c76a f5e27a 10231f 1f5c4b 3f9b72 a8dcae f08a4b 1f2209 515a17 8f9a2f d4d98a c45a8a",
    "": "1e1f24 50545e 8f959c d5d6d2 d98a3d 2a211b 6b5646 a38c74 ddcdb4 5aa6a6 20262b 4a5a66 8fa0a8 dfe6e6 c98a5a",
}
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


def _mix(a, b, t):
    return np.asarray(a, float) * (1 - t) + np.asarray(b, float) * t


def _rgb(colour) -> tuple[int, int, int]:
    return tuple(int(v) for v in np.clip(ImageColor.getrgb(colour) if isinstance(colour, str) else colour, 0, 255))


def _picture(pixels) -> Image.Image:
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _palette(rs, colors: str) -> np.ndarray:
    """Five colours, the dark ones of the first letter and the light ones of the last."""
    first, last = (PALETTES[letter].split() for letter in (colors[:1], colors[-1:]))
    a, b = 5 * rs.randint(3), 5 * rs.randint(3)
    names = first[a:a + 2] + last[b + 2:b + 4] + first[a + 4:a + 5]
    return np.clip(np.array([_rgb("#" + name) for name in names]) * rs.uniform(0.88, 1.12, 3), 0, 255)


def _ramp(pal, field) -> np.ndarray:
    return np.stack([np.interp(field, np.linspace(0, 1, 4), pal[:4, k]) for k in range(3)], -1)


def _noise(rs, w: int, h: int, cells: int, octaves: int = 4) -> np.ndarray:
    total = np.zeros((h, w), np.float32)
    for octave in range(octaves):
        n = cells << octave
        grid = rs.random_sample((max(2, n * h // w) + 1, n + 1)).astype(np.float32)
        total += np.asarray(Image.fromarray(grid).resize((w, h), Image.Resampling.BICUBIC)) / 2**octave
    total -= total.min()
    return total / total.max()


def _fill_below(image, line, top, bottom) -> None:
    mask = Image.new("L", image.size)
    ImageDraw.Draw(mask).polygon([(0, image.height), *enumerate(line), image.size], fill=255)
    column = _picture(_mix(top, bottom, np.linspace(0, 1, image.height)[:, None, None]))
    image.paste(column.resize(image.size), mask=mask)


def _disc(draw, x, y, rx, ry, fill) -> None:
    draw.ellipse((x - rx, y - ry, x + rx, y + ry), fill=_rgb(fill))


def _night(rs, pal, w, h) -> Image.Image:
    cloud = np.clip(_noise(rs, w, h, 3) - 0.5, 0, 1)[..., None] ** 1.3
    art = _ramp(pal, 0.42 * _noise(rs, w, h, rs.randint(2, 5), 5) ** 1.5) * 0.8 + cloud * pal[4]
    stars = np.zeros((h, w, 1))
    stars[rs.randint(1, h, 500), rs.randint(1, w, 500), 0] = rs.uniform(80, 255, 500)
    art += np.maximum(np.maximum(stars, np.roll(stars, 1, 0)), np.roll(stars, 1, 1))
    x, y, radius = w * rs.uniform(0.25, 0.75), h * rs.uniform(0.25, 0.5), h * rs.uniform(0.1, 0.27)
    dx, dy = np.arange(w) - x, np.arange(h)[:, None] - y
    lit = np.clip(0.5 + (dx * rs.uniform(-1, 1) - dy * 0.6) / radius, 0.05, 1)[..., None]
    planet = _ramp(pal, 0.35 + 0.65 * _noise(rs, w, h, rs.randint(3, 9), 3)) * lit
    image = _picture(np.where((np.hypot(dx, dy) < radius)[..., None], planet, art))
    if rs.random_sample() < 0.5:
        box = (x - radius * 1.9, y - radius * 0.45, x + radius * 1.9, y + radius * 0.45)
        # The arc leaves out the part of the ring behind the planet.
        ImageDraw.Draw(image).arc(box, -40, 220, _rgb(pal[3]), int(radius * 0.14) + 2)
    _fill_below(image, h * (0.95 - 0.2 * _noise(rs, w, 2, rs.randint(2, 7), 5)[0]), pal[0] * 0.5, pal[0] * 0.2)
    return image


def _facets(rs, pal, w, h) -> Image.Image:
    nx, ny = rs.randint(6, 15), rs.randint(5, 11)
    grid = np.stack(np.meshgrid(np.linspace(0, w, nx + 1), np.linspace(0, h, ny + 1)), -1)
    grid[1:-1, 1:-1] += rs.uniform(-0.42, 0.42, (ny - 1, nx - 1, 2)) * (w / nx, h / ny)
    field, bright, image = _noise(rs, w, h, 2, 3), rs.uniform(0.2, 0.8, 2) * (w, h), Image.new("RGB", (w, h))
    for j, i in np.ndindex(ny, nx):
        a, b, c, d = grid[j, i], grid[j, i + 1], grid[j + 1, i + 1], grid[j + 1, i]
        for corners in ((a, b, c), (a, c, d)) if rs.randint(2) else ((b, c, d), (b, d, a)):
            middle = np.mean(corners, 0)
            tone = np.clip(0.85 * field[int(middle[1]), int(middle[0])] + rs.uniform(-0.13, 0.13), 0, 1)
            glow = 0.9 * np.exp(-np.hypot(*(middle - bright)) / (0.22 * w))
            ImageDraw.Draw(image).polygon(np.ravel(corners).tolist(), fill=_rgb(_mix(_ramp(pal, tone), pal[4], glow)))
    return image


def _forest(rs, pal, w, h) -> Image.Image:
    image = Image.new("RGB", (w, h))
    draw, slim, radius = ImageDraw.Draw(image), rs.uniform(0.5, 1.3), h * rs.uniform(0.06, 0.18)
    _fill_below(image, np.zeros(w), _mix(pal[2], pal[3], rs.uniform(0, 0.7)), _mix(pal[3], pal[4], rs.uniform(0, 0.5)))
    _disc(draw, w * rs.uniform(0.15, 0.85), h * rs.uniform(0.15, 0.45), radius, radius, pal[4] + 40)
    for depth in np.linspace(0, 1, rs.randint(3, 6)):
        colour = _mix(_mix(pal[2], pal[3], 0.3), pal[0], depth)
        foot, tall = h * (0.66 + 0.34 * depth), h * (0.3 + 0.5 * depth)
        _fill_below(image, foot - 0.06 * h * _noise(rs, w, 2, 4, 5)[0], colour, _mix(colour, pal[3], 0.4 * (1 - depth)))
        for x in np.arange(-20, w + 40, tall * rs.uniform(0.2, 0.4)) + rs.uniform(-18, 18):
            top = foot - tall * rs.uniform(0.6, 1.1)
            draw.rectangle((x - 3, top, x + 3, foot), fill=_rgb(colour))
            for tier in range(4):
                y, half = top + tier * (foot - top) * 0.19, tall * (0.07 + 0.035 * tier)
                low, wide = y + half * 1.6, half * slim
                draw.polygon([(x, y - half), (x - wide, low), (x + wide, low)], fill=_rgb(colour))
    return image


def _beast(rs, pal, w, h) -> Image.Image:
    cx, cy, s = w / 2, h * rs.uniform(0.5, 0.6), min(w, h) * rs.uniform(0.85, 1.1)
    dx, dy = np.arange(w) - cx, np.arange(h)[:, None] - cy + s * 0.15
    fall = np.exp(-np.hypot(dx, dy) / (0.35 * w))
    rays = rs.uniform(0.02, 0.14) * np.sin(np.arctan2(dy, dx) * rs.randint(5, 19))
    field = 0.15 + 0.6 * fall + rays + 0.22 * _noise(rs, w, h, 4)
    image = _picture(_mix(_ramp(pal, field), pal[4], 0.55 * fall[..., None] ** 2))
    draw, dark, mid = ImageDraw.Draw(image), pal[0] * 0.6, _mix(pal[0], pal[1], 0.7)
    head, horn, tall, span = s * rs.uniform((0.11, 0.1, 0.2, 0.5), (0.18, 0.34, 0.45, 0.75))
    up, feathers = cy - s * 0.23, rs.choice([0, 3, 5, 7])
    for side in (-1, 1):
        for k in range(feathers):
            x, y = side * span * np.cos(1.5 * k / feathers - 0.9), span * np.sin(1.5 * k / feathers - 0.9)
            wing = [(cx, cy - s * 0.12), (cx + x, cy + y), (cx + x * 0.6, cy + y * 0.6 + s * 0.2)]
            draw.polygon(wing, fill=_rgb(dark if k % 2 else mid))
        draw.polygon([(cx, up), (cx + side * horn, up - tall), (cx + side * head, up)], fill=_rgb(mid))
        _disc(draw, cx + side * s * 0.12, cy + s * 0.3, s * 0.06, s * 0.2, dark)
    _disc(draw, cx, cy + s * 0.12, s * rs.uniform(0.16, 0.26), s * rs.uniform(0.2, 0.32), dark)
    _disc(draw, cx, up, head, head * rs.uniform(0.85, 1.25), dark)
    for k, side in itertools.product(range(rs.randint(1, 4)), (-1, 1)):
        x, y, eye = cx + side * head * (0.45 + 0.12 * k), up - head * (0.1 + 0.38 * k), head * (0.26 - 0.06 * k)
        _disc(draw, x, y, eye, eye * 0.75, pal[4])
        _disc(draw, x, y, eye * 0.3, eye * 0.7, dark)
    return image


PAINTERS = (_forest, _beast, _night, _facets)


def _art(rs, seed: int, colors: str, w: int, h: int) -> Image.Image:
    # Drawn at twice the size and halved: ImageDraw has no antialiasing of its own.
    drawn = np.asarray(PAINTERS[seed % len(PAINTERS)](rs, _palette(rs, colors), w * 2, h * 2).reduce(2), np.float32)
    dx, dy = np.arange(w) - w / 2, np.arange(h)[:, None] - h / 2
    light = 1.06 - 0.6 * ((dx / w) ** 2 + (dy / h) ** 2) + 0.16 * (_noise(rs, w, h, 24, 3) - 0.5)
    return _picture(drawn * light[..., None] + rs.normal(0, 4, (h, w, 1)))


def _panel(card: Image.Image, box, radius: int, fill) -> None:
    w, h = box[2] - box[0], box[3] - box[1]
    mask = Image.new("L", (w * 3, h * 3))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, w * 3 - 1, h * 3 - 1), radius * 3, fill=255)
    card.paste(fill if isinstance(fill, Image.Image) else _rgb(fill), box, mask.reduce(3))


def _ascii(text: str) -> str:
    """Pillow's own font has no accented letter and no dash."""
    return unicodedata.normalize("NFKD", text.replace("\u2014", "-")).encode("ascii", "ignore").decode()


def _print_cost(card: Image.Image, cost: str) -> int:
    """Returns where the cost begins."""
    right = 454
    for symbol in reversed(re.findall(r"{(\w+)}", cost)):
        _panel(card, (right - 22, 38, right, 60), 11, INK)
        _panel(card, (right - 21, 39, right - 1, 59), 10, FRAMES.get(symbol, "#cfcac2"))
        if symbol.isdigit():
            ImageDraw.Draw(card).text((right - 11, 49), symbol, INK, _font(16), anchor="mm")
        right -= 24
    return right


def _details(seed: int, colors: str) -> dict:
    """What is printed on the face and stands in its object."""
    rs, number, painter = np.random.RandomState([seed, 2]), seed % BACK, PAINTERS[seed % len(PAINTERS)]
    kind = "Being" if painter is _beast else str(rs.choice(["Being", "Place", "Rite", "Relic", "Charm"]))
    cost = "" if kind == "Place" else "".join(f"{{{symbol}}}" for symbol in (rs.randint(1, 7), *colors))
    chosen = sorted(rs.choice(len(RULES), rs.randint(1, 3), replace=False))
    return {"cost": cost, "type": f"{kind} \u2014 {' '.join(rs.choice(KIN, 2))}" if kind == "Being" else kind,
            "rules": [RULES[k].format(n=rs.randint(2, 5), kin=rs.choice(KIN)) for k in chosen],
            "flavour": str(rs.choice(FLAVOURS)),
            "number": f"A-{number + 1}" if number % 20 == 6 else f"{number + 1}{'b' if number % 12 == 11 else ''}",
            "border": "gold" if number % 14 == 5 else "white" if number % 6 == 2 else "black",
            "rarity": list(RARITIES)[(0, 1, 0, 2, 1, 0, 0, 3, 1, 2, 0)[number % 11]]}


def draw_face(name: str, seed: int, colors: str) -> Image.Image:
    """One card face, RGB 488x680: the art and the printed text follow from `seed`."""
    rs, details, split_y = np.random.RandomState([seed, 1]), _details(seed, colors), (372, 336, 404)[seed % 3]
    first, last = _rgb(FRAMES[colors[:1]]), _rgb(FRAMES[colors[-1:]])
    across = np.clip(np.linspace(-0.6, 1.6, 452), 0, 1)[None, :, None]
    frame = _mix(first, last, across) * (0.78 + 0.4 * _noise(rs, 452, 624, 5, 5))[..., None]
    paper = _mix(first, (253, 250, 241), 0.85) * (0.93 + 0.09 * _noise(rs, 420, 582 - split_y, 6, 5))[..., None]
    card = Image.new("RGB", SIZE, "white")
    _panel(card, (0, 0, *SIZE), 24, BORDERS[details["border"]])
    _panel(card, (18, 18, 470, 642), 14, _picture(frame))
    _panel(card, (32, 70, 456, split_y + 2), 3, INK)
    _panel(card, (34, 72, 454, split_y), 2, _art(rs, seed, colors, 420, split_y - 72))
    for top in (30, split_y + 4):
        _panel(card, (28, top, 460, top + 37), 11, INK)
        _panel(card, (30, top + 2, 458, top + 35), 10, _mix(first, (250, 246, 236), 0.72))
    _panel(card, (32, split_y + 44, 456, 630), 5, INK)
    _panel(card, (34, split_y + 46, 454, 628), 4, _picture(paper))
    _print_text(card, _ascii(name), details, split_y)
    return card


def _print_text(card: Image.Image, name: str, details: dict, split_y: int) -> None:
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
    draw.text((30, 659), f"{details['number']}  |  {ARTIST}", ink, _font(14), anchor="lm")


def _side(number: int, part: int) -> tuple[str, int, str]:
    """What draw_face takes, for the front or the second part of a card."""
    # 1009 shares no factor with the number of pairs, so no pair comes twice before all have come.
    place, noun = divmod(number * 1009 % (len(PLACES) * len(NOUNS)), len(NOUNS))
    place, noun, adjective = PLACES[place], NOUNS[noun], ADJECTIVES[number * 5 % len(ADJECTIVES)]
    name = (f"{place} {noun}", f"{adjective} {noun} of {place}", f"{place}, {adjective} {noun}")[number % 3]
    if part or number == QUOTED:
        name = f"Remember the {noun} of {place}" if part else QUOTED_NAME
    return name, number + BACK * part, COLORINGS[(number + 5 * part) % len(COLORINGS)]


def _face(number: int, part: int) -> dict:
    name, seed, colors = _side(number, part)
    details = _details(seed, colors)
    return {"object": "card_face", "name": name, "mana_cost": details["cost"], "type_line": details["type"],
            "oracle_text": "\n".join(details["rules"]), "colors": sorted(colors), "artist": ARTIST,
            "illustration_id": str(uuid.uuid5(SPACE, f"art/{number}/{part}"))}


def _card(number: int, layout: str, status: str) -> dict:
    """The Scryfall object of the card with this running number."""
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
            "border_color": details["border"], "digital": False, "lang": "en"}
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
    """Write under another name first: a picture cut short would be kept by the next run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    partial.write_bytes(data)
    partial.replace(path)


def _bulk_list(cards: int, compressed_size: int) -> dict:
    """Each number of cards is a version of its own, a minute later for each card."""
    updated = FIRST_UPDATE + timedelta(minutes=cards)
    at, stamp = updated.isoformat(timespec="milliseconds"), f"{updated:%Y%m%d%H%M%S}"
    entries = [{"object": "bulk_data", "id": bulk_id, "type": kind, "updated_at": at,
                "uri": f"{API}/bulk-data/{bulk_id}", "name": kind.replace("_", " ").title(),
                "description": "Invented cards, drawn by a script.", "compressed_size": compressed_size,
                "jsonl_download_uri": f"{DATA}/{slug}/{slug}-{stamp}.jsonl.gz"}
               for kind, bulk_id in BULK_IDS.items() for slug in [kind.replace("_", "-")]]
    return {"object": "list", "has_more": False, "data": entries}


def write_mirror(root: Path, cards: int = 185, *, double_faced: int = 15, placeholders: int = 2) -> int:
    """Write the mirror of this many cards; returns the number of faces in its bulk file."""
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


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--cards", type=int, default=185, metavar="N")
    args = parser.parse_args(argv)
    print(f"{args.out}: {args.cards} cards, {write_mirror(args.out, args.cards)} faces", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
