"""Bybit: the unified account. A coin's equity holds its unrealized P&L and what options are worth.

The funding wallet and earn products are not read. Source: Bybit docs v5 of the endpoints named below.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from core.errors import BadAnswer
from traders.domain.accounts import Leg, contract_code
from traders.sources.exchanges.asking import (
    PAGES_MOST,
    Asker,
    Row,
    Wallets,
    decimal_or_none,
    half_refuse,
    together,
)


class _BybitCoin(Row, frozen=True):
    coin: str
    equity: Decimal
    wallet_balance: Decimal
    total_position_i_m: str = msgspec.field(default="", name="totalPositionIM")


class _BybitWallet(Row, frozen=True):
    coin: tuple[_BybitCoin, ...]


class _BybitWallets(Row, frozen=True):
    list: tuple[_BybitWallet, ...]


class _BybitBalance(Row, frozen=True):
    result: _BybitWallets


class _BybitContract(Row, frozen=True):
    symbol: str
    side: str
    size: Decimal
    avg_price: str
    mark_price: str = ""


class _BybitPage(Row, frozen=True):
    list: tuple[_BybitContract, ...]
    next_page_cursor: str = ""


class _BybitPositions(Row, frozen=True):
    result: _BybitPage


async def bybit_read(asker: Asker, *, contracts: bool) -> Wallets:
    """Return the unified account (``GET /v5/account/wallet-balance``) and its contracts
    (``/v5/position/list``)."""
    wallets = Wallets()
    balance = asker.ask("private", "v5/account/wallet-balance", _BybitBalance, accountType="UNIFIED")
    if contracts:
        found, *pages = await together(
            balance,
            _bybit_positions(asker, category="linear", settleCoin="USDT"),
            _bybit_positions(asker, category="linear", settleCoin="USDC"),
            _bybit_positions(asker, category="inverse"),
        )
        for rows, settle in zip(pages, ("USDT", "USDC", ""), strict=True):
            wallets.legs += [_bybit_leg(row, settle) for row in rows if row.size]
    else:
        found = await balance
    if not found.result.list:
        raise BadAnswer("Bybit knows no unified account of this key; upgrade the account there")
    margins = [decimal_or_none(row.total_position_i_m) for row in found.result.list[0].coin]
    if contracts:
        half_refuse(name="Bybit", margin=sum(filter(None, margins), Decimal(0)), legs=wallets.legs)
    for row in found.result.list[0].coin:
        wallets.holdings[row.coin] += row.wallet_balance
        wallets.pnl[row.coin] += row.equity - row.wallet_balance
    return wallets


async def _bybit_positions(asker: Asker, **params: str) -> list[_BybitContract]:
    rows: list[_BybitContract] = []
    cursor = ""
    for _ in range(PAGES_MOST):
        more = {"cursor": cursor} if cursor else {}
        asked = asker.ask("private", "v5/position/list", _BybitPositions, limit="200", **params, **more)
        page = (await asked).result
        rows += page.list
        cursor = page.next_page_cursor
        if not cursor or not page.list:
            return rows
    raise BadAnswer(f"Bybit goes on telling positions after {PAGES_MOST} pages")


def _bybit_leg(row: _BybitContract, settle: str) -> Leg:
    if row.side not in {"Buy", "Sell"}:
        raise BadAnswer(f"Bybit tells a position of {row.symbol} on the side {row.side!r}")
    signed = row.size if row.side == "Buy" else -row.size
    entry, mark = decimal_or_none(row.avg_price), decimal_or_none(row.mark_price)
    if entry is None:
        raise BadAnswer(f"Bybit tells no average price of {row.symbol}")
    base = row.symbol.split("-", 1)[0]
    if not settle:  # inverse: a contract is one dollar
        return Leg(base.partition("USD")[0], signed / entry, entry, mark)
    ends = [end for end in ("USDT", "USDC", "PERP") if base.endswith(end)]
    code, times = contract_code(base.removesuffix(ends[0]) if ends else base)
    return Leg(code, signed * times, entry / times, mark / times if mark else None, settle=settle)
