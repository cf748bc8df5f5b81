"""Coinbase: every account of Advanced Trade, vaults included. Its derivatives are not read.

Source: Coinbase docs, Advanced Trade API, "List accounts".
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from core.errors import BadAnswer
from traders.sources.exchanges.asking import PAGES_MOST, Asker, Wallets


class _CoinbaseAmount(msgspec.Struct, frozen=True):
    value: Decimal
    currency: str


class _CoinbaseAccount(msgspec.Struct, frozen=True):
    currency: str
    available_balance: _CoinbaseAmount
    hold: _CoinbaseAmount


class _CoinbasePage(msgspec.Struct, frozen=True):
    accounts: tuple[_CoinbaseAccount, ...]
    has_next: bool
    cursor: str = ""


async def coinbase_read(asker: Asker, *, contracts: bool) -> Wallets:
    """Return every account (``GET /api/v3/brokerage/accounts``)."""
    wallets = Wallets()
    cursor: dict[str, str] = {}
    for _ in range(PAGES_MOST):
        page = await asker.ask("v3 private", "brokerage/accounts", _CoinbasePage, limit=250, **cursor)
        for account in page.accounts:
            coin = "ETH" if account.currency == "ETH2" else account.currency
            wallets.holdings[coin] += account.available_balance.value + account.hold.value
        if not page.has_next:
            return wallets
        cursor = {"cursor": page.cursor}
    raise BadAnswer(f"Coinbase goes on telling accounts after {PAGES_MOST} pages")
