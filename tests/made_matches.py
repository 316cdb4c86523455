"""A match with made-up values, for tests of what is done with matches."""
from __future__ import annotations

from mtg_image_db.index.reader import Match


def match(name: str, **other: object) -> Match:
    fields = {"row": 0, "rank": 1, "score": 0.9, "cosine": 0.9, "similarity": 0.9, "art_similarity": 0.9, "name": name,
              "set": "mh2", "collector_number": "12", "scryfall_id": f"id of {name}", "face_id": f"id of {name}",
              "image_url": "", "scryfall_uri": "", "artist": "", "card_name": name, "set_name": "Modern Horizons 2",
              "lang": "en", "layout": "normal", "rarity": "rare", "finishes": ["nonfoil", "foil"], "oracle_id": None,
              "illustration_id": None, "tcgplayer_id": 77, "cardmarket_id": 88}
    return Match(**fields | other)
