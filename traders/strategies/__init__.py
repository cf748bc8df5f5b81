"""Strategies: each file of this package that registers one is found by itself."""
