"""Writing exports: pure."""
