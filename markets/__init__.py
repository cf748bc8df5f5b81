"""Instruments, marks (last price and its time) and the worlds they belong to."""
