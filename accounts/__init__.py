"""Users, their portfolios, and who may see what."""
