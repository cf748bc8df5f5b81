"""Figures of the product, measured on real parts: `python -m benchmarks [name]`."""
