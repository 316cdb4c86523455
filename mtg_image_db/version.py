"""The version of the program. CONTRIBUTING.md says how to release."""

__version__ = "1.2.0"
