"""What an exchange account is worth and what it holds, from its balances and contracts. Pure.

- **Equity** is every balance at its price in USD, borrowed coins counting negative, plus the unrealized P&L
  of contracts, each in the coin it is settled in. A unified account's collateral is a balance, counted once.
- **Positions** are the coins held, stablecoins and currencies aside, and the contracts, by instrument netted:
  hedge mode's two sides, a linear and an inverse contract, and the coin itself are one position. What is
  worth less than the dust limit is no position; one that is held stays until it is worth half of that.
- **Inverse contracts** are worth a fixed number of dollars N. In dollars one entered at e gains
  (N / e) x (price - e), which is a holding of N / e coins, whatever the price does since.
- **Entry prices** are the venue's where there is a contract on the position's side. Of a coin no venue tells
  one: it is the price at which it was first seen, averaged with later additions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from core.decimals import ONE, QUANTITY_STEP, ZERO, to_money, to_price
from core.errors import NotFound
from core.instruments import FIAT, STABLECOINS
from traders.domain.reads import TraderPosition

STABLE: Final = STABLECOINS | {"FDUSD", "TUSD", "BUSD", "PYUSD", "USDP", "GUSD", "RLUSD", "USDG", "USD1"}
CASH: Final = STABLE | FIAT
QUOTES: Final = ("USD", "USDT", "USDC", "FDUSD", "EUR")
_MANY_FIRST: Final = re.compile(r"^(1000+)([A-Z][A-Z0-9]+)$")
_MANY_LAST: Final = re.compile(r"^([A-Z][A-Z0-9]+?)(1000+)$")

VENUES: Final = {"binance": "Binance", "bybit": "Bybit", "coinbase": "Coinbase", "kraken": "Kraken"}
SPOT_ONLY: Final = "spot"
WITH_CONTRACTS: Final = frozenset({"binance", "bybit", "kraken"})  # where contracts can be left out
# What of an account is looked at, for the person who follows it.
READ_HERE: Final = {
    "binance": "Spot, USD-M and COIN-M futures. Margin, funding and locked earn are not read.",
    "bybit": "The unified account. The funding wallet and earn products are not read.",
    "coinbase": "Every account of Advanced Trade. Its derivatives are not read.",
    "kraken": "Spot balances, staked coins and margin positions. Kraken Futures is not read.",
}

# The venue's last price of a market by its two coins, None where it has no such market.
Lookup = Callable[[str, str], Decimal | None]


@dataclass(frozen=True, slots=True)
class AccountKey:
    """What the key of an exchange trader says: ``venue:credential``, or ``venue:credential:spot``."""

    venue: str
    credential_id: int
    contracts: bool

    @classmethod
    def parse(cls, key: str) -> AccountKey:
        """Return the parts of a key.

        :raises NotFound: it is none
        """
        venue, _, rest = key.partition(":")
        number, _, part = rest.partition(":")
        sound = number.isascii() and number.isdecimal() and len(number) <= 18
        if venue not in VENUES or not sound or part not in {"", SPOT_ONLY}:
            raise NotFound(f"There is no exchange account {key[:60]!r}.", field="key")
        return cls(venue, int(number), not part)


@dataclass(frozen=True, slots=True)
class Leg:
    """One contract that is open.

    :param quantity: signed, in units of the instrument
    :param entry_price: in the quote currency; so is ``mark_price``, which is None where the venue names none
    :param settle: the coin whose price in USD converts both
    """

    code: str
    quantity: Decimal
    entry_price: Decimal
    mark_price: Decimal | None
    settle: str = "USD"


@dataclass(frozen=True, slots=True)
class Account:
    """An account at one moment.

    :param holdings: balances by coin over all its wallets, without unrealized P&L; negative is borrowed
    :param pnl: unrealized P&L of contracts by the coin they are settled in
    :param prices: USD per coin; a coin without any price is missing
    """

    holdings: Mapping[str, Decimal]
    prices: Mapping[str, Decimal]
    pnl: Mapping[str, Decimal] = field(default_factory=dict)
    legs: tuple[Leg, ...] = ()


@dataclass(frozen=True, slots=True)
class Known:
    """What was held of an instrument at the last read."""

    quantity: Decimal
    entry_price: Decimal


@dataclass(frozen=True, slots=True)
class Dust:
    """What is too little to be a position: less than so many USD, or than this fraction of equity."""

    usd: Decimal
    fraction: Decimal

    def limit(self, equity: Decimal) -> Decimal:
        """Return the value below which a holding is dust."""
        return max(self.usd, self.fraction * max(ZERO, equity))


def account_equity(account: Account) -> Decimal:
    """Return the account's worth in USD, to 8 places; what has no price counts nothing."""
    value = ZERO
    for amounts in (account.holdings, account.pnl):
        value += sum((amount * account.prices.get(coin, ZERO) for coin, amount in amounts.items()), ZERO)
    return to_money(value)


def coins_unpriced(account: Account) -> list[str]:
    """Return the coins that are held and have no price."""
    held = {coin for amounts in (account.holdings, account.pnl) for coin, amount in amounts.items() if amount}
    return sorted(held - account.prices.keys())


def account_positions(
    account: Account, *, equity: Decimal, dust: Dust, known: Mapping[str, Known]
) -> tuple[TraderPosition, ...]:
    """Return the open positions by code; the rules stand at the top of this file."""
    coins = {coin for coin, amount in account.holdings.items() if amount and coin not in CASH}
    legs = {leg.code: _netted(leg.code, account) for leg in account.legs}
    found = (
        _position(code, account, legs.get(code), dust.limit(equity), known.get(code))
        for code in sorted(coins | legs.keys())
    )
    return tuple(position for position in found if position is not None)


def coin_prices(coins: Iterable[str], *, lookup: Lookup) -> dict[str, Decimal]:
    """Return USD per coin for those that have a price.

    Markets in USD come first, then in stablecoins and euros at their own price. A stablecoin is worth what it
    trades for in USD, else in USDT, else 1.
    """
    prices = {coin: coin_price(coin, lookup=lookup) for coin in coins}
    return {coin: price for coin, price in prices.items() if price is not None}


def coin_price(coin: str, *, lookup: Lookup) -> Decimal | None:
    """Return USD per coin, None where no market says."""
    if coin == "USD":
        return ONE
    if coin in STABLE or coin == "EUR":
        return _anchor(coin, lookup)
    for quote in QUOTES:
        price, anchor = lookup(coin, quote), _anchor(quote, lookup)
        if price is not None and anchor is not None:
            return price * anchor
    for quote in ("USD", "USDT", "USDC") if coin in FIAT else ():
        price, anchor = lookup(quote, coin), _anchor(quote, lookup)
        if price and anchor is not None:
            return anchor / price
    bitcoin, price = coin_price("BTC", lookup=lookup) if coin != "BTC" else None, lookup(coin, "BTC")
    return None if bitcoin is None or price is None else price * bitcoin


def contract_code(base: str) -> tuple[str, Decimal]:
    """Return the instrument of a contract's base as venues write it, and its units per unit of that base.

    >>> contract_code("1000PEPE")
    ('kPEPE', Decimal('1'))
    >>> contract_code("1000000MOG")
    ('kMOG', Decimal('1000'))
    >>> contract_code("SHIB1000")
    ('kSHIB', Decimal('1'))
    """
    for pattern, coin, many in ((_MANY_FIRST, 2, 1), (_MANY_LAST, 1, 2)):
        if match := pattern.match(base):
            return f"k{match[coin]}", Decimal(match[many]) / 1000
    return base, ONE


def _anchor(coin: str, lookup: Lookup) -> Decimal | None:
    if coin == "USD":
        return ONE
    direct = lookup(coin, "USD")
    if direct is not None:
        return direct
    tether = lookup(coin, "USDT") if coin != "USDT" else None
    if tether is not None:
        worth = _anchor("USDT", lookup)
        return None if worth is None else tether * worth
    return ONE if coin in STABLE else None


@dataclass(frozen=True, slots=True)
class _Net:
    """An instrument's contracts, netted, in USD."""

    quantity: Decimal
    entry_price: Decimal
    mark_price: Decimal | None


def _netted(code: str, account: Account) -> _Net:
    legs = [leg for leg in account.legs if leg.code == code]
    net = sum((leg.quantity for leg in legs), ZERO)
    side = [leg for leg in legs if leg.quantity * net > 0]
    size = sum((leg.quantity for leg in side), ZERO)
    paid = sum((leg.quantity * leg.entry_price * _rate(leg, account) for leg in side), ZERO)
    largest = max(legs, key=lambda leg: abs(leg.quantity))
    mark = None if largest.mark_price is None else largest.mark_price * _rate(largest, account)
    return _Net(net, paid / size if size else ZERO, mark)


def _rate(leg: Leg, account: Account) -> Decimal:
    return account.prices.get(leg.settle, ONE) if leg.settle in CASH else ONE


def _position(
    code: str, account: Account, contract: _Net | None, limit: Decimal, known: Known | None
) -> TraderPosition | None:
    held = account.holdings.get(code, ZERO) if code not in CASH else ZERO
    quantity = (held + (contract.quantity if contract else ZERO)).quantize(QUANTITY_STEP)
    mark = account.prices.get(code) or (contract.mark_price if contract else None)
    if not quantity or mark is None:
        return None
    held_before = known is not None and known.quantity * quantity > 0
    if not (contract and contract.quantity) and abs(quantity * mark) < (limit / 2 if held_before else limit):
        return None
    if contract and contract.quantity * quantity > 0:
        entry = contract.entry_price
    elif known is not None and held_before:
        entry = _averaged(known, quantity, mark)
    else:
        entry = mark
    return TraderPosition(code, quantity, entry_price=to_price(entry), mark_price=to_price(mark))


def _averaged(known: Known, quantity: Decimal, price: Decimal) -> Decimal:
    """Return the entry price after a change: kept by what is sold, averaged with what is added."""
    before, now = abs(known.quantity), abs(quantity)
    if now <= before:
        return known.entry_price
    return (before * known.entry_price + (now - before) * price) / now
