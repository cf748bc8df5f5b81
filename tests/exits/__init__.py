"""Proof that no exit is missed: the watch against a plain check over recorded prices (EXT-3)."""
