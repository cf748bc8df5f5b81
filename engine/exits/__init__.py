"""The exit watch: every price of every guarded position, in order, and what it closes (EXT-3, EXT-4)."""
