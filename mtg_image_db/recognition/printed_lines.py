"""The lines at the bottom of a card -> how well they fit each printing of its artwork.

    printings = scored(printings, quad, photo, open_reader())

Since 2014, a card names its number, set and language at the bottom left: "017/254 C" above "MH1 · EN". Cards of 1998 to
2014 have a line at the bottom with the year and the number: "1993-2010 Wizards of the Coast LLC 114/249". Older ones
have the year at most. The lines are not read freely: each printing is compared with what the network held for possible.
Reads and writes  nothing
"""
from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mtg_image_db.recognition.finder import CARD_RATIO, Picture, Pyramid, Quad
from mtg_image_db.recognition.fitting import in_photo
from mtg_image_db.recognition.letters import Letters, fits_of, text_of
from mtg_image_db.recognition.printing_choice import DECIDED_FROM, Printing
from mtg_image_db.recognition.text_reader import HEIGHT, TextReader, strip_of

MODERN_SINCE = "2014-07-18"  # Magic 2015, the first set with these two lines. Later cards in older frames have them too
NUMBERED_SINCE = "1998-06-15"  # Exodus, the first set with numbers
# Where the lines are, as shares of the card's width and height, measured on straightened photos. Both are looked for at
# every top: the corners of a card in a photo are not exact.
MODERN_PART, MODERN_HEIGHT = (0.025, 0.235), 0.028
MODERN_TOPS = (0.908, 0.915, 0.922, 0.929, 0.936, 0.9405, 0.9475, 0.9545, 0.961, 0.968)
OLD_PARTS, OLD_HEIGHT, OLD_TOPS = ((0.08, 0.54), (0.46, 0.92)), 0.029, (0.940, 0.947, 0.954)  # the line in two halves
PLAIN_NUMBER = re.compile(r"(?:\w+-)?(\d+)[^\d]*")  # "17", "17s", "MH1-17"
# A number without its set, or the other way round, is no proof: a newer card than the list knows may have it too.
LEAST_FIT, HALF = 0.06, 0.99
SHOWN_FROM = 0.2  # a text that fits less is not shown as read
SHOWN_FROM_OLD = 0.5  # of older cards, year and number are shown, because their line is long and often misread
# What cards call their language. Some languages were written in two ways.
LANGUAGES = {"en": ("EN",), "de": ("DE",), "fr": ("FR",), "it": ("IT",), "es": ("SP", "ES"), "pt": ("PT",),
             "ja": ("JP", "JA"), "ko": ("KO", "KR"), "ru": ("RU",), "zhs": ("CS",), "zht": ("CT",), "ph": ("PH",)}
DOTS = "·•-. "  # between set and language, as they are printed and as they are read
LANGUAGE_FROM, LANGUAGE_LEAD = 0.8, 0.3  # how well a language must fit, and how much better than the next one

DECISION = {"modern": {"part": MODERN_PART, "height": MODERN_HEIGHT, "tops": MODERN_TOPS, "since": MODERN_SINCE},
            "old": {"parts": OLD_PARTS, "height": OLD_HEIGHT, "tops": OLD_TOPS, "numbered_since": NUMBERED_SINCE},
            "least_fit": LEAST_FIT, "half": HALF, "languages": LANGUAGES, "dots": DOTS,
            "language_from": LANGUAGE_FROM, "language_lead": LANGUAGE_LEAD}


def scored(printings: Sequence[Printing], quad: Quad, photo: Pyramid, reader: TextReader) -> list[Printing]:
    """The printings with score and read, in their order. quad: the corners of the card in the RGB photo.

    The line of older cards is read only if no newer printing fits.
    """
    modern = [printing for printing in printings if (printing.released_at or MODERN_SINCE) >= MODERN_SINCE]
    old = [printing for printing in printings if (printing.released_at or MODERN_SINCE) < MODERN_SINCE]
    found: list[Printing] = []
    if modern:
        found += _modern(modern, reader.read([_strip(photo, quad, MODERN_PART, top, MODERN_HEIGHT)
                                              for top in MODERN_TOPS]))
    if old and max((printing.score for printing in found), default=0) < DECIDED_FROM:
        found += _old(old, reader.read([_strip(photo, quad, part, top, OLD_HEIGHT)
                                        for part in OLD_PARTS for top in OLD_TOPS]))
    by_face = {printing.face_id: printing for printing in found}
    return [by_face.get(printing.face_id, printing) for printing in printings]


def language_read(strips: Sequence[Letters]) -> str | None:
    """The language that surely stands behind a set's code, as Scryfall writes it."""
    forms = [(lang, dot + form) for lang, codes in LANGUAGES.items() for form in codes for dot in DOTS]
    best = dict.fromkeys(LANGUAGES, 0.0)
    for (lang, _), fit in zip(forms, fits_of(strips, [form for _, form in forms]).max(axis=0).tolist(), strict=True):
        best[lang] = max(best[lang], fit)
    first, second = sorted(best.values(), reverse=True)[:2]
    return max(best, key=best.__getitem__) if first >= LANGUAGE_FROM and first - second >= LANGUAGE_LEAD else None


def _strip(photo: Pyramid, quad: Quad, part: tuple[float, float], top: float, height: float) -> Picture:
    """What a photo shows between the left and right of part, in shares of the card's width, below top."""
    (left, right), bottom = part, top + height
    width = round(HEIGHT * CARD_RATIO * (right - left) / height)
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32)
    return strip_of(photo, in_photo(corners, quad), width)


def _modern(printings: Sequence[Printing], strips: Sequence[Letters]) -> list[Printing]:
    """The printings with the fit of their number and that of their set, added. Where the card exists in the language
    that it names, printings in other languages fit less. Otherwise its language replaces theirs."""
    numbers = _fits(strips, [_number_forms(printing) for printing in printings], alone=True)
    sets = _fits(strips, [_set_forms(printing) for printing in printings])
    lang = language_read(strips)
    exists = lang in {printing.lang for printing in printings}
    found = []
    for printing, (number, number_text), (code, code_text) in zip(printings, numbers, sets, strict=True):
        other = exists and printing.lang != lang
        score = _sum(number, code * (0.5 if other else 1))
        found.append(replace(printing, score=score, read=_joined(_set_and_language(code_text, printing), number_text),
                             lang=printing.lang if exists or lang is None else lang))
    return found


def _old(printings: Sequence[Printing], strips: Sequence[Letters]) -> list[Printing]:
    """The printings with the fit of their year and that of their number, added. The oldest have no number."""
    years = _fits(strips, [[f"{(printing.released_at or '')[:4]} W"] for printing in printings])
    numbers = _fits(strips, [[f" {digits[1]}/"] if (digits := PLAIN_NUMBER.fullmatch(printing.collector_number))
                             and (printing.released_at or "") >= NUMBERED_SINCE else [] for printing in printings])
    found = []
    for printing, (year, _), (number, _) in zip(printings, years, numbers, strict=True):
        numbered = (printing.released_at or "") >= NUMBERED_SINCE
        score = _sum(year, number) if numbered else round(year, 4)
        shown = [(printing.released_at or "")[:4] * (year >= SHOWN_FROM_OLD),
                 printing.collector_number * (number >= SHOWN_FROM_OLD)]
        found.append(replace(printing, score=score, read=_joined(*shown)))
    return found


def _set_and_language(text: str, printing: Printing) -> str:
    """The text from the set's code to the language. The artist's name follows on the card. The complete text if the
    code is not in it."""
    for form in _set_forms(printing):
        if form in text:
            return text[text.index(form):][:len(form) + 3]
    return text


def _sum(first: float, second: float) -> float:
    """The score of two fits. It is not enough to decide if one of them contradicts."""
    score = first + second
    return round(score if min(first, second) >= LEAST_FIT else min(score, HALF), 4)


def _joined(*texts: str) -> str:
    return " ".join(filter(None, texts))


def _fits(strips: Sequence[Letters], forms: Sequence[Sequence[str]], alone: bool = False) -> list[tuple[float, str]]:
    """For each printing, how well the best of its forms fits, 0-1, and the text of the strip that it fits best."""
    texts = list(dict.fromkeys(text for of_printing in forms for text in of_printing))
    fits = fits_of(strips, texts, alone)
    # Where several strips fit, the clearest one is shown.
    clear = sorted(range(len(strips)), key=lambda at: -float(strips[at].max(axis=1).mean()))
    best = {text: max(((round(float(fits[at, number]), 2), at) for at in clear), key=lambda found: found[0])
            for number, text in enumerate(texts)}
    found = [max((best[text] for text in of_printing), default=(0.0, 0)) for of_printing in forms]
    return [(fit, text_of(strips[at]).strip() if fit >= SHOWN_FROM else "") for fit, at in found]


def _number_forms(printing: Printing) -> list[str]:
    """How a number is printed since 2014: with three digits, or four since 2023, and without the letters that Scryfall
    adds. The List has the number of the first printing: Scryfall writes "MH1-17"."""
    digits = PLAIN_NUMBER.fullmatch(printing.collector_number)
    if not digits:
        return [printing.collector_number.upper()]
    return [f"{int(digits[1]):03d}", f"{int(digits[1]):04d}"]


def _set_forms(printing: Printing) -> list[str]:
    """How a set is printed. Promotions and tokens have their set's code, before which Scryfall writes a letter. The
    List has that of the first printing."""
    code = printing.set.upper()
    first = printing.collector_number.rpartition("-")[0].upper()  # "MH1" of "MH1-17". Not the "A" of "A-143"
    return [code, *([code[1:]] if len(code) == 4 and code[0] in "PT" else []), *([first] if len(first) > 2 else [])]
