"""A photo -> the cards in it: where they lie, which they are, and how that is shown."""
