"""Portfolios that trade with a real account: connecting, shadow, promotion, the turn of each account, findings."""
