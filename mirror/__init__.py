"""A local Scryfall, and drawn cards and photos of them: for the demo, the tests and experiments."""
