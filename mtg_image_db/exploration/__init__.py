"""All cards of an index at a time: near-duplicates, clusters, and a map."""
