"""Binance: spot, USD-M and COIN-M wallets.

Flexible earn positions, which stand in the spot wallet as ``LDBTC``, count as the coin. Margin, funding,
locked earn and portfolio-margin accounts are not read. Source: Binance docs of the endpoints named below.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from core.clock import SYSTEM_CLOCK
from core.errors import BadAnswer
from traders.domain.accounts import Leg, contract_code
from traders.sources.exchanges.asking import Asker, Contracts, Row, Wallets, half_refuse, together

CONTRACTS_KEPT_S: Final = 86400.0


class _BinanceBalance(Row, frozen=True):
    asset: str
    free: Decimal
    locked: Decimal


class _BinanceSpot(Row, frozen=True):
    balances: tuple[_BinanceBalance, ...]


class _BinanceMargin(Row, frozen=True):
    asset: str
    wallet_balance: Decimal
    unrealized_profit: Decimal


class _BinanceContract(Row, frozen=True):
    symbol: str
    position_amt: Decimal
    entry_price: Decimal
    mark_price: Decimal | None = None
    margin_asset: str = ""


class _BinanceWallet(Row, frozen=True):
    assets: tuple[_BinanceMargin, ...]
    total_position_initial_margin: Decimal


class _BinanceCoinWallet(Row, frozen=True):
    assets: tuple[_BinanceMargin, ...]
    positions: tuple[_BinanceContract, ...]


class _BinanceSize(Row, frozen=True):
    symbol: str
    contract_size: Decimal


class _BinanceSizes(Row, frozen=True):
    symbols: tuple[_BinanceSize, ...]


async def binance_read(asker: Asker, *, contracts: bool) -> Wallets:
    """Return spot (``GET /api/v3/account``), USD-M (``/fapi/v3/account``, ``/fapi/v3/positionRisk``), COIN-M
    (``/dapi/v1/account``)."""
    wallets = Wallets()
    spot = asker.ask("private", "account", _BinanceSpot, omitZeroBalances="true")
    if contracts:
        found, linear, risks, inverse = await together(
            spot,
            asker.ask("fapiPrivateV3", "account", _BinanceWallet),
            asker.ask("fapiPrivateV3", "positionRisk", tuple[_BinanceContract, ...]),
            asker.ask("dapiPrivate", "account", _BinanceCoinWallet),
        )
        for row in (*linear.assets, *inverse.assets):
            wallets.holdings[row.asset] += row.wallet_balance
            wallets.pnl[row.asset] += row.unrealized_profit
        wallets.legs += [_binance_linear(row) for row in risks if row.position_amt]
        half_refuse(name="Binance", margin=linear.total_position_initial_margin, legs=wallets.legs)
        open_ones = [row for row in inverse.positions if row.position_amt]
        wallets.legs += await _binance_inverse(asker, open_ones)
    else:
        found = await spot
    for balance in found.balances:
        wallets.holdings[_binance_coin(balance.asset)] += balance.free + balance.locked
    return wallets


def _binance_coin(asset: str) -> str:
    """Return the coin of an asset; LDBTC is BTC in flexible earn, LDO is a coin of its own."""
    return asset[2:] if asset.startswith("LD") and len(asset) > 4 else asset


def _binance_linear(row: _BinanceContract) -> Leg:
    settle = row.margin_asset or "USDT"
    base = row.symbol.split("_", 1)[0]
    quote = next((end for end in (settle, "USDT", "USDC") if base.endswith(end)), "")
    if not quote:
        raise BadAnswer(f"Binance names a contract {row.symbol}, whose coin cannot be told")
    code, times = contract_code(base.removesuffix(quote))
    mark = row.mark_price / times if row.mark_price else None
    return Leg(code, row.position_amt * times, row.entry_price / times, mark, settle=quote)


async def _binance_inverse(asker: Asker, rows: Sequence[_BinanceContract]) -> list[Leg]:
    """Return COIN-M contracts as holdings; ``GET /dapi/v1/exchangeInfo`` says what each is worth."""
    kept = asker.contracts
    if any(row.symbol not in kept.sizes for row in rows) or (rows and _old(kept)):
        told = await asker.ask("dapiPublic", "exchangeInfo", _BinanceSizes)
        kept.sizes = {row.symbol: row.contract_size for row in told.symbols}
        kept.read_s = SYSTEM_CLOCK.monotonic_s()
    legs = []
    for row in rows:
        if row.symbol not in kept.sizes or row.entry_price <= 0:
            raise BadAnswer(f"Binance does not say what one contract of {row.symbol} is worth")
        dollars = row.position_amt * kept.sizes[row.symbol]
        code, _, _ = row.symbol.partition("USD")
        legs.append(Leg(code, dollars / row.entry_price, row.entry_price, row.mark_price or None))
    return legs


def _old(kept: Contracts) -> bool:
    return SYSTEM_CLOCK.monotonic_s() - kept.read_s > CONTRACTS_KEPT_S
