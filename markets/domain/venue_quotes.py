"""A price out of what a venue tells of a market: the middle of its book, else its last trade. Pure.

The middle is what Hyperliquid's marks are too. A last trade is a price only as long as it is young, since
nobody may have traded for hours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from core.decimals import to_price
from markets.domain.plausible import price_usable

WIDEST: Final = Decimal("1.1")  # times the bid; the middle of a wider book is nobody's price


@dataclass(frozen=True, slots=True)
class VenueQuote:
    """One price.

    :param quoted_us: when it was quoted, in microseconds since 1970, never later than it was heard
    """

    price: Decimal
    quoted_us: int


def quote_of(
    ticker: Mapping[str, Any], *, heard_us: int, oldest_us: int, answered: bool
) -> VenueQuote | None:
    """Return the price of one of ccxt's unified tickers, numbers as text; None where it holds none to go by.

    A quote without a time is one of the moment at which it was heard. An answer to a request shows the book
    of that moment, whatever time its last trade bears; a message that comes late shows an old book.

    >>> quote_of({"bid": "9", "ask": "9.2", "timestamp": 3}, heard_us=5_000, oldest_us=0, answered=False)
    VenueQuote(price=Decimal('9.100000000000'), quoted_us=3000)
    """
    told = ticker.get("timestamp")
    quoted_us = heard_us if told is None else min(heard_us, int(told) * 1000)
    bid, ask = price_told(ticker.get("bid")), price_told(ticker.get("ask"))
    if bid is not None and ask is not None and bid <= ask <= bid * WIDEST:
        middle = to_price((bid + ask) / 2)
        if answered:
            return VenueQuote(middle, heard_us)
        return VenueQuote(middle, quoted_us) if quoted_us >= oldest_us else None
    last = price_told(ticker.get("last"))
    return VenueQuote(last, quoted_us) if last is not None and quoted_us >= oldest_us else None


def price_told(text: object) -> Decimal | None:
    """Return a number above zero that came as text, None where a venue writes none."""
    if text is None or isinstance(text, float):
        return None
    try:
        price = Decimal(str(text))
    except InvalidOperation:
        return None
    return price if price_usable(price) else None
