"""Measurements of the suite's speed, beside its limits and the generic tools."""
