"""Instruments: what is traded, named without any venue, and what lies beneath it.

An instrument's code is the plain coin name ("BTC", "kBONK") or ``dex:COIN`` on a builder-deployed
exchange ("xyz:CXMT"). Its *underlying* is what two instruments have in common: wrapped coins
share their original's, and thousands ("kBONK" = 1,000 BONK) share the single coin's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from core.decimals import ONE, ZERO, to_price_step, to_significant, to_step

# Wrapped or bridged coin → the coin it stands for. Sources: the issuers' own pages (BitGo, Coinbase,
# Threshold, Unit on Hyperliquid). Staked coins are left out: they carry a yield and a price of their own.
WRAPPED: Final = {
    "WBTC": "BTC",
    "CBBTC": "BTC",
    "TBTC": "BTC",
    "UBTC": "BTC",
    "XBT": "BTC",
    "WETH": "ETH",
    "UETH": "ETH",
    "WSOL": "SOL",
    "USOL": "SOL",
    "WBNB": "BNB",
    "WPOL": "POL",
}
STABLECOINS: Final = frozenset({"USDC", "USDT", "USDT0", "USD", "USDE", "USDH", "FEUSD", "DAI"})
# Money of states, as exchanges write it.
FIAT: Final = frozenset({
    "USD", "EUR", "GBP", "CHF", "CAD", "AUD", "NZD", "JPY", "TRY", "BRL", "PLN", "SEK", "NOK", "DKK", "CZK",
    "HUF", "RON", "UAH", "ZAR", "MXN", "ARS", "COP", "KRW", "INR", "SGD", "HKD", "AED",
})  # fmt: skip
_CODE = re.compile(r"^(?:[a-z0-9]{1,12}:)?[A-Za-z0-9][A-Za-z0-9/_.\-@]{0,30}$")
_THOUSANDS = re.compile(r"^k([A-Z0-9]{2,})$")


@dataclass(frozen=True, slots=True)
class Instrument:
    """One tradable instrument and the venue rules that an order in it must keep.

    :param multiplier: how many units of the underlying one unit of this instrument holds
    :param quantity_step: smallest difference between two order quantities
    :param price_places: most decimals a price may carry, beside ``price_digits`` significant digits
    :param price_step: smallest difference between two prices, at a venue that has one; it then counts alone
    :param min_quantity: smallest quantity of an order that opens or enlarges; 0 where one step is enough
    :param max_quantity: largest quantity of one order; None where the venue names none
    :param min_notional: smallest order value in quote currency
    :param max_leverage: venue's highest leverage; half its inverse is the maintenance margin rate
    """

    code: str
    underlying: str
    multiplier: Decimal
    quantity_step: Decimal
    price_places: int
    price_digits: int = 5
    min_notional: Decimal = Decimal(10)
    max_leverage: int = 20
    quote: str = "USD"
    price_step: Decimal | None = None
    min_quantity: Decimal = ZERO
    max_quantity: Decimal | None = None

    @property
    def price_smallest(self) -> Decimal:
        """The lowest price that this instrument's precision can write."""
        return ONE.scaleb(-self.price_places) if self.price_step is None else self.price_step

    def quantity(self, value: Decimal) -> Decimal:
        """Round a quantity toward zero to this instrument's step."""
        return to_step(value, self.quantity_step)

    def price(self, value: Decimal, *, up: bool) -> Decimal:
        """Round a price to this instrument's precision, up or down."""
        if self.price_step is not None:
            return to_price_step(value, self.price_step, up=up)
        return to_significant(value, self.price_digits, places=self.price_places, up=up)


def is_code(code: str) -> bool:
    """Tell whether ``code`` has the form of an instrument code."""
    return bool(_CODE.fullmatch(code))


def underlying_of(code: str) -> tuple[str, Decimal]:
    """Return what lies beneath an instrument, and how many units of it one unit holds.

    A builder-deployed market keeps its prefix: "xyz:TSLA" is that exchange's own contract, not a coin.

    >>> underlying_of("WBTC")
    ('BTC', Decimal('1'))
    >>> underlying_of("kBONK")
    ('BONK', Decimal('1000'))
    """
    if ":" in code:
        return code, Decimal(1)
    thousands = _THOUSANDS.match(code)
    if thousands:
        return thousands.group(1), Decimal(1000)
    return WRAPPED.get(code.upper(), code), Decimal(1)
