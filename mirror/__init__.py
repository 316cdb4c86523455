"""A local Scryfall, drawn cards, and drawn photos of them: for the demo, the tests and experiments."""
