"""What only a GPU can show: `tests/gpu/run`, or `pytest -m gpu`."""
