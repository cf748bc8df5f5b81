"""Portfolios that trade with a real account: connected, in shadow, promoted, looked after, stopped."""
