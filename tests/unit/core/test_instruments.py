"""Instrument names, what lies beneath them, and venue rounding (CON-1)."""

from __future__ import annotations

from decimal import Decimal

import pytest

from core.instruments import Instrument, is_code, underlying_of

D = Decimal


@pytest.mark.parametrize(
    ("code", "underlying", "multiplier"),
    [
        ("BTC", "BTC", 1),
        ("WBTC", "BTC", 1),
        ("UETH", "ETH", 1),
        ("kBONK", "BONK", 1000),
        ("KAITO", "KAITO", 1),
        ("xyz:CXMT", "xyz:CXMT", 1),
        ("0G", "0G", 1),
    ],
)
def test_what_lies_beneath(code: str, underlying: str, multiplier: int) -> None:
    assert underlying_of(code) == (underlying, D(multiplier))


@pytest.mark.parametrize(
    ("code", "valid"),
    [("BTC", True), ("xyz:CXMT", True), ("@107", False), ("", False), ("A" * 40, False), ("B TC", False)],
)
def test_the_form_of_a_code(code: str, valid: bool) -> None:
    assert is_code(code) is valid


def test_an_order_keeps_the_venues_precision() -> None:
    sol = Instrument(code="SOL", underlying="SOL", multiplier=D(1), quantity_step=D("0.01"), price_places=4)
    assert sol.quantity(D("1.2399")) == D("1.23")
    assert sol.price(D("193.456"), up=True) == D("193.46")
    assert sol.price(D("193.456"), up=False) == D("193.45")
