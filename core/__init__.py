"""Shared words and rules without Django: instruments, decimals, ids, clock, errors, realtime events."""
