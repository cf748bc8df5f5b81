"""Which quotes are believed: MKT-1, a wrong price must not fire a stop."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markets.domain.plausible import Believed, price_usable, price_weighed


def heard(*quotes: str) -> list[str | None]:
    """Return what is believed after each quote: its price, or None where it was doubted."""
    known, believed = Believed(), []
    for quote in quotes:
        known = price_weighed(known, Decimal(quote))
        believed.append(None if known.doubted is not None else str(known.price))
    return believed


@pytest.mark.parametrize(
    ("quotes", "believed"),
    [
        (("100", "101", "55"), ["100", "101", "55"]),  # a fall by half is still a fall
        (("100", "1000", "100"), ["100", None, "100"]),  # a slip of the point
        (("100", "10", "9.5", "9"), ["100", None, "9.5", "9"]),  # a crash, seen twice
        (("100", "1000", "10", "11"), ["100", None, None, "11"]),  # two slips agree on nothing
        (("100", "1000", "1300", "1290"), ["100", None, None, "1290"]),  # not the same jump yet
        (("100", "200", "50"), ["100", "200", None]),  # exactly double is believed, a quarter is not
    ],
)
def test_a_jump_waits_for_a_second_quote(quotes: tuple[str, ...], believed: list[str | None]) -> None:
    """More than double or less than half is believed once the next quote says about the same."""
    assert heard(*quotes) == believed


@pytest.mark.parametrize("text", ["0", "-1", "NaN", "Infinity", "-Infinity", "-0"])
def test_what_is_no_price_is_refused(text: str) -> None:
    """Zero, negative and not a number are no prices."""
    assert not price_usable(Decimal(text))


@given(
    quotes=st.lists(st.decimals(min_value="0.0001", max_value="1000000", places=4), min_size=1, max_size=30)
)
def test_only_a_quoted_price_is_ever_believed_and_two_alike_always_are(quotes: list[Decimal]) -> None:
    """Nothing is made up, and whatever a venue says twice in a row is believed."""
    known = Believed()
    for quote in quotes:
        known = price_weighed(known, quote)
        assert known.price in quotes
        assert price_weighed(known, quote) == Believed(price=quote)
