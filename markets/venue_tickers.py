"""The last prices of a whole spot venue in one request, as accounts are valued with and as marks are polled.

Sources: Binance docs "Symbol price ticker"; Bybit docs v5 "Get tickers"; Coinbase docs "List public
products"; Kraken docs "Get ticker information" and its names of assets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from core.clock import SYSTEM_CLOCK
from core.errors import BadAnswer, EnsembleError
from markets.domain.plausible import price_usable
from markets.exchange_meter import ExchangeMeter
from markets.exchanges import exchange_make, read_error

KEPT_S: Final = 10.0
# Kraken's old names: X and Z stand before the first coins and currencies.
KRAKEN_NAMES: Final = {
    "XXBT": "BTC", "XBT": "BTC", "XXDG": "DOGE", "XDG": "DOGE", "XETH": "ETH", "ETH2": "ETH", "XETC": "ETC",
    "XLTC": "LTC", "XMLN": "MLN", "XREP": "REP", "XXLM": "XLM", "XXMR": "XMR", "XXRP": "XRP", "XZEC": "ZEC",
    "ZAUD": "AUD", "ZCAD": "CAD", "ZEUR": "EUR", "ZGBP": "GBP", "ZJPY": "JPY", "ZUSD": "USD",
}  # fmt: skip
_KRAKEN_WRITTEN: Final[dict[str, list[str]]] = {}
for _name, _coin in KRAKEN_NAMES.items():
    _KRAKEN_WRITTEN.setdefault(_coin, []).append(_name)


@dataclass(frozen=True, slots=True)
class TickerVenue:
    """How a venue tells all its spot prices.

    :param section: of ccxt's tree, parts separated by a space
    :param rows: the markets' names and prices of an answer
    :param names: how the market of two coins may be written
    """

    section: str
    path: str
    rows: Callable[[Any], Iterable[tuple[str, Any]]]
    names: Callable[[str, str], Iterable[str]]
    params: Mapping[str, str]


def kraken_coin(asset: str) -> str:
    """Return the coin of one of Kraken's names: staked, earning and held ones count as the coin itself."""
    name = asset.split(".", 1)[0]
    return KRAKEN_NAMES.get(name, name)


def _kraken_names(base: str, quote: str) -> Iterable[str]:
    for first in (*_KRAKEN_WRITTEN.get(base, ()), base):
        for last in (*_KRAKEN_WRITTEN.get(quote, ()), quote):
            yield first + last


TICKER_VENUES: Final = {
    "binance": TickerVenue(
        "public",
        "ticker/price",
        lambda answer: ((row["symbol"], row["price"]) for row in answer),
        lambda base, quote: (f"{base}{quote}",),
        {},
    ),
    "bybit": TickerVenue(
        "public",
        "v5/market/tickers",
        lambda answer: ((row["symbol"], row["lastPrice"]) for row in answer["result"]["list"]),
        lambda base, quote: (f"{base}{quote}",),
        {"category": "spot"},
    ),
    "coinbase": TickerVenue(
        "v3 public",
        "brokerage/market/products",
        lambda answer: ((row["product_id"], row["price"]) for row in answer["products"]),
        lambda base, quote: (f"{base}-{quote}",),
        {},
    ),
    "kraken": TickerVenue(
        "public",
        "Ticker",
        lambda answer: ((name, row["c"][0]) for name, row in answer["result"].items()),
        _kraken_names,
        {},
    ),
}


class Tickers:
    """Last prices of one venue at one moment, by the names it writes its markets with."""

    def __init__(self, venue: str, prices: Mapping[str, Decimal]) -> None:
        self.prices = prices
        self._names = TICKER_VENUES[venue].names

    def lookup(self, base: str, quote: str) -> Decimal | None:
        """Return the price of a market by its two coins, None where there is none."""
        return next((self.prices[name] for name in self._names(base, quote) if name in self.prices), None)


class TickerDesk:
    """Asks venues for their prices, once for all who want them within 10 s. Belongs to one event loop."""

    def __init__(self, *, meter: ExchangeMeter) -> None:
        self._meter = meter
        self._clients: dict[str, Any] = {}
        self._asked: dict[str, tuple[float, asyncio.Task[Tickers]]] = {}

    async def tickers(self, venue: str) -> Tickers:
        """Return a venue's last prices, at most 10 s old.

        :raises RetryLater: no usable answer, or no room in the budget
        """
        asked_s, task = self._asked.get(venue, (float("-inf"), None))
        failed = task is not None and task.done() and (task.cancelled() or task.exception() is not None)
        if task is None or failed or SYSTEM_CLOCK.monotonic_s() - asked_s >= KEPT_S:
            task = asyncio.get_running_loop().create_task(self._ask(venue))
            task.add_done_callback(_seen)
            self._asked[venue] = (SYSTEM_CLOCK.monotonic_s(), task)
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Give back connections; the meter is its owner's."""
        tasks = [task for _, task in self._asked.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for client in self._clients.values():
            await client.close()
        self._clients.clear()

    async def _ask(self, venue: str) -> Tickers:
        how = TICKER_VENUES[venue]
        if venue not in self._clients:
            client = exchange_make(venue=venue, asynchronous=True)
            self._clients[venue] = self._meter.attach(client)
        try:
            answer = await self._clients[venue].request(how.path, how.section.split(), "GET", {**how.params})
            prices = {str(name): price for name, text in how.rows(answer) if (price := _price(text))}
        except EnsembleError:
            raise
        except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
            raise BadAnswer(f"{venue}: its prices cannot be read ({type(error).__name__})") from error
        except Exception as error:
            raise _failure(error, venue) from error
        if not prices:
            raise BadAnswer(f"{venue}: its answer holds no price at all")
        return Tickers(venue, prices)


def _failure(error: Exception, venue: str) -> Exception:
    """Return what an error of ccxt means; a fault of ours stays what it is."""
    from ccxt.base.errors import BaseError

    return read_error(error, venue=venue) if isinstance(error, BaseError) else error


def _price(text: object) -> Decimal | None:
    """Return a price, None where a venue writes nothing or zero because nothing was traded yet."""
    try:
        price = Decimal(str(text))
    except InvalidOperation:
        return None
    return price if price_usable(price) else None


def _seen(task: asyncio.Task[Tickers]) -> None:
    """Take note of a shared request's failure, which everybody who waits for it gets as well."""
    if not task.cancelled():
        task.exception()
