"""Positions with a slice per trader, conflict rules, booking of fills, valuation."""
