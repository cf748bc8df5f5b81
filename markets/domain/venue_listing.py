"""Which coins of another venue become instruments here, and by which rules: what Hyperliquid lacks. Pure.

An instrument is what its underlying is. A coin whose underlying is priced already, under whatever code, gets
no second price: WBTC is bought as BTC, and 1000PEPE is kPEPE.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import Any, Final

from core.decimals import ONE
from core.instruments import FIAT, STABLECOINS, Instrument, is_code, underlying_of
from core.types import Policy
from markets.domain.venue_markets import market_is_of, rules_read

# Dollars and euros by other names: they are cash, no position.
CASH: Final = STABLECOINS | FIAT | {
    "AEUR", "BFUSD", "BUSD", "EURC", "EURI", "EURQ", "EURR", "EURT", "FDUSD", "GUSD", "PYUSD", "RLUSD",
    "TUSD", "USD1", "USDB", "USDD", "USDG", "USDP", "USDQ", "USDR", "USDS", "USDTB", "UST", "USTC",
    "XUSD",
}  # fmt: skip
CENT: Final = Decimal("0.01")
PRICE_DIGITS: Final = 15  # the venue's step says how fine a price is; digits are not to add to it
_THOUSANDS: Final = re.compile(r"^1000([A-Z][A-Z0-9]+)$")


@dataclass(frozen=True, slots=True)
class VenueSection:
    """The markets of one kind at one venue."""

    venue: str
    policy: Policy

    def __str__(self) -> str:
        return f"{self.venue} {self.policy.value}"


@dataclass(frozen=True, slots=True)
class ListedCoin:
    """A coin that is priced at another venue.

    :param symbol: of its market there, as ccxt names it
    """

    spec: Instrument
    symbol: str


def coins_listed(
    *,
    section: VenueSection,
    quotes: Collection[str],
    markets: Iterable[Mapping[str, Any]],
    taken: Collection[str],
) -> tuple[list[ListedCoin], list[str]]:
    """Return the coins to price at a venue, by code, and in words what was left out as unusable.

    Of several markets of one coin the one in the first of ``quotes`` counts. Inactive markets are left out.

    :param quotes: currencies that count as the dollar, most traded first
    :param markets: ccxt's unified markets, numbers as text
    :param taken: underlyings that have a price from elsewhere
    """
    ranks = {quote: rank for rank, quote in enumerate(quotes)}
    usable = [
        market
        for market in markets
        if market_is_of(market, policy=section.policy, quotes=ranks) and market.get("active") is not False
    ]
    found: dict[str, ListedCoin] = {}
    problems = []
    for market in sorted(usable, key=lambda market: (ranks[market["quote"]], str(market.get("symbol")))):
        code = _code_of(str(market.get("base")))
        underlying, multiplier = underlying_of(code)
        if code in CASH or not is_code(code) or underlying in taken or underlying in found:
            continue
        try:
            spec = _spec(market, section, code=code, underlying=underlying, multiplier=multiplier)
        except (ValueError, InvalidOperation, KeyError, TypeError) as error:
            problems.append(f"{market.get('symbol')}: {type(error).__name__} {error}")
            continue
        found[underlying] = ListedCoin(spec=spec, symbol=str(market["symbol"]))
    return sorted(found.values(), key=lambda coin: coin.spec.code), problems


def _code_of(base: str) -> str:
    """Return our code of a coin: a thousand of them as one unit is written with a k."""
    thousands = _THOUSANDS.match(base)
    return f"k{thousands.group(1)}" if thousands else base


def _spec(
    market: Mapping[str, Any], section: VenueSection, *, code: str, underlying: str, multiplier: Decimal
) -> Instrument:
    rules = rules_read(market, venue=section.venue, code=code)
    step = rules.price_step or ONE
    leverage = 1 if section.policy is Policy.SPOT else rules.max_leverage or 1
    return Instrument(
        code=code,
        underlying=underlying,
        multiplier=multiplier,
        quantity_step=rules.quantity_step,
        price_places=max(0, -int(step.normalize().as_tuple().exponent)),
        price_digits=PRICE_DIGITS,
        min_notional=rules.min_notional.quantize(CENT, ROUND_CEILING),
        max_leverage=max(1, leverage),
    )
