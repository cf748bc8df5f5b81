"""Exports and imports on a real database."""
