"""Identifiers and digests."""

from decimal import Decimal as D

from core.ids import fingerprint


def test_fingerprints_count_decimals_by_value() -> None:
    """CON-3, BEY-3: 1.0 and 1 are the same input; parts never run into each other."""
    assert fingerprint("a", D("1.0")) == fingerprint("a", D(1))
    assert fingerprint("ab", "c") != fingerprint("a", "bc")
    assert len(fingerprint()) == 32


def test_a_fingerprint_is_the_same_in_every_process() -> None:
    """CON-3: it is stored and compared later."""
    assert fingerprint("BTC", D("0.50"), 7, None) == fingerprint("BTC", D("0.5"), 7, None)
    assert fingerprint("capital", "BTC") == "41b8ed6d21d4c98c6c39a64b5e99b7aa"
