"""Who is followed with which share, what capital is free, and which limits hold."""
