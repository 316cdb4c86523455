"""Scryfall: its bulk files, the faces in them, its rate limits, and the cache of its card pictures."""
