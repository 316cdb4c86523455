"""The MTG image database: Scryfall's card pictures as a search index, and the cards in a photo named."""

__version__ = "1.2.0"
