"""The REST API under /api/v1/: tokens, portfolios, follows and decisions."""
