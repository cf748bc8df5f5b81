"""How each venue tells what an account holds, one file per venue; ``READERS`` says which there are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from traders.sources.exchanges.asking import Asker, Contracts, Wallets
from traders.sources.exchanges.binance import binance_read
from traders.sources.exchanges.bybit import bybit_read
from traders.sources.exchanges.coinbase import coinbase_read
from traders.sources.exchanges.kraken import kraken_read

__all__ = ["READERS", "Asker", "Contracts", "Wallets"]
Reader = Callable[..., Awaitable[Wallets]]
READERS: Final[dict[str, Reader]] = {
    "binance": binance_read,
    "bybit": bybit_read,
    "coinbase": coinbase_read,
    "kraken": kraken_read,
}
