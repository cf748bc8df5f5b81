"""Traders, where they are read from, and the sync that keeps them fresh."""
