"""Measures calevents beside hand-written code and other libraries: `make bench`."""
