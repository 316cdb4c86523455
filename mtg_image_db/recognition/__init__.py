"""A photo -> the cards in it: find their places, name them, and show the result."""
