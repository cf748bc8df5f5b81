"""What of a venue's ticker is a price, and which of its coins become instruments."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.types import Policy
from markets.domain.venue_listing import VenueSection, coins_listed
from markets.domain.venue_quotes import VenueQuote, quote_of

NOW_US = 1_700_000_000_000_000
PRICES = st.decimals("0.00000001", "1000000", places=8)
OLDEST_US = NOW_US - 15_000_000
FRESH_US = NOW_US - 200_000
FRESH_MS, OLD_MS = NOW_US // 1000 - 200, NOW_US // 1000 - 15_001


@pytest.mark.parametrize(
    ("ticker", "answered", "quote"),
    [
        (
            {"bid": "1.1", "ask": "1.2", "last": "9", "timestamp": FRESH_MS},
            False,
            (D("1.15"), FRESH_US),
        ),
        ({"bid": "1.1", "ask": "1.2", "timestamp": None}, False, (D("1.15"), NOW_US)),
        ({"bid": "1.1", "ask": "1.2", "timestamp": OLD_MS}, False, None),  # a message that came late
        ({"bid": "1.1", "ask": "1.2", "timestamp": OLD_MS}, True, (D("1.15"), NOW_US)),  # a book asked for
        ({"bid": "1", "ask": "1.2", "last": "1.1", "timestamp": FRESH_MS}, True, (D("1.1"), FRESH_US)),
        ({"bid": "1", "ask": "1.2", "last": "1.1", "timestamp": OLD_MS}, True, None),  # too wide, and old
        ({"bid": "1.2", "ask": "1.1", "last": None}, False, None),  # crossed
        ({"bid": "0", "ask": "1", "last": "0.9"}, False, (D("0.9"), NOW_US)),
        ({"last": "7", "timestamp": FRESH_MS + 60_000}, False, (D(7), NOW_US)),  # a clock that is ahead
        ({"last": 7.5}, False, None),  # a float is no price
        ({"last": "NaN"}, False, None),
        ({"last": "-1"}, True, None),
        ({}, True, None),
    ],
)
def test_a_ticker_is_a_price_or_none(
    ticker: dict[str, Any], answered: bool, quote: tuple[D, int] | None
) -> None:
    """The middle of the book, else a young last trade; never later than it was heard."""
    found = quote_of(ticker, heard_us=NOW_US, oldest_us=OLDEST_US, answered=answered)
    assert found == (None if quote is None else VenueQuote(*quote))


@given(PRICES, PRICES, st.booleans())
def test_a_middle_lies_in_its_book(bid: D, ask: D, answered: bool) -> None:
    """Any price of a book lies between bid and ask, which are at most a tenth apart."""
    ticker = {"bid": f"{bid:f}", "ask": f"{ask:f}"}
    found = quote_of(ticker, heard_us=NOW_US, oldest_us=OLDEST_US, answered=answered)
    assert (found is None) == (not bid <= ask <= bid * D("1.1"))
    assert found is None or bid <= found.price <= ask


def market(base: str, quote: str = "USDT", **more: Any) -> dict[str, Any]:
    """Return a spot market as ccxt reads it, numbers as text."""
    return {
        "symbol": f"{base}/{quote}",
        "id": f"{base}{quote}",
        "base": base,
        "quote": quote,
        "spot": True,
        "active": True,
        "precision": {"amount": "0.001", "price": "0.05"},
        "limits": {"cost": {"min": "5.001"}},
    } | more


def test_coins_that_nobody_else_prices_are_listed() -> None:
    """Cash, wrapped and priced coins, closed markets and unreadable rules are left out; thousands get a k."""
    markets = [
        market("FOO", "USDC"),
        market("FOO"),
        market("1000CAT"),
        market("CAT"),  # beneath it lies the same as beneath 1000CAT, which comes first
        market("WBTC"),
        market("EUR"),
        market("FDUSD"),
        market("DONE", active=False),
        market("BAD", precision={"amount": None, "price": "1"}),
        market("FOO", "EUR"),
        market("PERP", spot=False, swap=True, linear=True, settle="USDT"),
    ]
    found, problems = coins_listed(
        section=VenueSection("binance", Policy.SPOT), quotes=("USDT", "USDC"), markets=markets, taken={"BTC"}
    )
    assert [(coin.spec.code, coin.spec.underlying, coin.spec.multiplier, coin.symbol) for coin in found] == [
        ("FOO", "FOO", D(1), "FOO/USDT"),
        ("kCAT", "CAT", D(1000), "1000CAT/USDT"),
    ]
    foo = found[0].spec
    assert (foo.quantity_step, foo.price_places, foo.min_notional, foo.max_leverage) == (
        D("0.001"),
        2,
        D("5.01"),
        1,
    )
    assert [problem.split(":")[0] for problem in problems] == ["BAD/USDT"]


def test_perpetuals_keep_their_leverage() -> None:
    """The perp policy takes linear perpetuals alone, with the venue's own leverage."""
    perp = market(
        "FUT", symbol="FUT/USDT:USDT", spot=False, swap=True, linear=True, settle="USDT",
        limits={"leverage": {"max": "25"}},
    )  # fmt: skip
    section = VenueSection("binance", Policy.PERP)
    found, _ = coins_listed(section=section, quotes=("USDT",), markets=[perp, market("FOO")], taken=())
    assert [(coin.spec.code, coin.symbol, coin.spec.max_leverage) for coin in found] == [
        ("FUT", "FUT/USDT:USDT", 25)
    ]
