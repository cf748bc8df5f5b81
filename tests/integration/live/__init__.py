"""Portfolios that trade with an account at a venue."""
