"""Odd files: what people have, what strangers send, and what should come of each."""
