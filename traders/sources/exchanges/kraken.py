"""Kraken: spot balances and open margin positions. Kraken Futures is another venue.

Staked and earning coins (``DOT.S``, ``XBT.M``, ``ETH.F``, ``ETH2``) count as the coin.
Source: Kraken docs, "Get account balance", "Get open positions".
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import msgspec

from core.errors import BadAnswer
from markets.venue_tickers import kraken_coin
from traders.domain.accounts import Leg
from traders.sources.exchanges.asking import Asker, Wallets, together

QUOTES: Final = ("ZUSD", "ZEUR", "USDT", "USDC", "USD", "EUR")


class _KrakenBalance(msgspec.Struct, frozen=True):
    result: dict[str, Decimal]


class _KrakenMargin(msgspec.Struct, frozen=True):
    pair: str
    type: str
    vol: Decimal
    vol_closed: Decimal
    cost: Decimal
    net: Decimal


class _KrakenMargins(msgspec.Struct, frozen=True):
    result: dict[str, _KrakenMargin]


async def kraken_read(asker: Asker, *, contracts: bool) -> Wallets:
    """Return balances (``POST /0/private/Balance``) and margin positions (``/0/private/OpenPositions``)."""
    wallets = Wallets()
    balance = asker.ask("private", "Balance", _KrakenBalance, method="POST")
    if contracts:
        found, margins = await together(
            balance,
            asker.ask("private", "OpenPositions", _KrakenMargins, method="POST", docalcs="true"),
        )
        for row in margins.result.values():
            leg = _kraken_leg(row)
            wallets.legs.append(leg)
            wallets.pnl[leg.settle] += row.net
    else:
        found = await balance
    for asset, amount in found.result.items():
        wallets.holdings[kraken_coin(asset)] += amount
    return wallets


def _kraken_leg(row: _KrakenMargin) -> Leg:
    quote = next(
        (end for end in ("ZUSD", "ZEUR", "USDT", "USDC", "USD", "EUR") if row.pair.endswith(end)), ""
    )
    if not quote or not row.vol or row.type not in {"buy", "sell"}:
        raise BadAnswer(f"Kraken tells a margin position of {row.pair} that cannot be read")
    left = row.vol - row.vol_closed
    code = kraken_coin(row.pair.removesuffix(quote))
    signed = left if row.type == "buy" else -left
    return Leg(code, signed, row.cost / row.vol, None, settle=kraken_coin(quote))
