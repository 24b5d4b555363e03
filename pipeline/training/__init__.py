"""Fits a generator: the loop and its parts, each in a file of its own."""
