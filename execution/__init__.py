"""Orders, their fills, and the venues they go to."""
